# tnl_unity(TARGET FILES...): the files of a folder (those of small folders together) are compiled as
# one: what headers define is then read and translated once, which takes a fifth of the time without
# optimization. The price: names in the anonymous namespaces of such files must differ. Builds with
# sanitizers do so with all files, ./test with those of tests; else each file is compiled alone, which
# shows that it includes what it uses.
set(TNL_UNITY "" CACHE STRING "Compile the files of a folder as one: of \"tests\", or \"all\"")
add_library(tnl_unity_flags INTERFACE)
# A variable of one file may be called as another file's constant.
target_compile_options(tnl_unity_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-shadow>)

function(tnl_unity TARGET)
  set_target_properties(${TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_link_libraries(${TARGET} PRIVATE $<BUILD_INTERFACE:tnl_unity_flags>)
  foreach(FILE ${ARGN})
    set(GROUP small)
    # Oracles and fast operators go with their like: a folder has one of each, with the same names.
    if(FILE MATCHES "_(oracle|fast)\\.cpp$")
      set(GROUP ${CMAKE_MATCH_1})
    else()
      cmake_path(GET FILE PARENT_PATH FOLDER)
      file(GLOB BESIDE ${FOLDER}/*.cpp)
      list(LENGTH BESIDE COUNT)
      if(COUNT GREATER_EQUAL 8)
        cmake_path(GET FOLDER FILENAME GROUP)
      endif()
    endif()
    # No more than the other processors would wait for.
    math(EXPR COUNT_${GROUP} "${COUNT_${GROUP}} + 1")
    math(EXPR PART "(${COUNT_${GROUP}} - 1) / 16")
    set_source_files_properties(${FILE} PROPERTIES UNITY_GROUP ${GROUP}_${PART})
  endforeach()
endfunction()
