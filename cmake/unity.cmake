# tnl_unity(TARGET FILES...): with TNL_UNITY the files of a folder (those of small folders together) are compiled as one, which takes a
# fifth of the time without optimization: what headers define is then read and translated once. So it
# is in the builds with sanitizers; elsewhere each file shows that it includes what it uses. The price:
# names in the anonymous namespaces of such files must differ.
option(TNL_UNITY "Compile the files of a folder as one" OFF)

function(tnl_unity TARGET)
  if(NOT TNL_UNITY)
    return()
  endif()
  set_target_properties(${TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
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
