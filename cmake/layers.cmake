# tnl_layer(NAME DEPENDS...): one static library per folder of src/, whose link lines are the diagram
# of ARCHITECTURE.md. Files named *_test.cpp make the test program NAME_test, *_bench.cpp the
# benchmark program NAME_bench. *_avx2.cpp and *_avx512.cpp are compiled for those instructions and
# chosen at run time. *.cu, *_cuda.cpp, *_cuda_test.cpp (program NAME_cuda_test, to run on a machine
# with a GPU) and *_cuda_bench.cpp are built with TNL_CUDA only.
add_library(tnl_flags INTERFACE)
target_compile_options(tnl_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
    -Wno-unknown-pragmas -fno-math-errno -ffp-contract=off
    -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=>)
# GCC 12 sees overflows in the headers of fmt and std::string that are not there (bug 105651).
target_compile_options(tnl_flags INTERFACE
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-stringop-overflow -Wno-array-bounds -Wno-restrict>)
if(TNL_WERROR)
  target_compile_options(tnl_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(TNL_SANITIZE)
  target_compile_options(tnl_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TNL_SANITIZE} -fno-omit-frame-pointer -g1>)
  target_link_options(tnl_flags INTERFACE -fsanitize=${TNL_SANITIZE})
endif()

function(tnl_layer NAME)
  file(GLOB_RECURSE SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}/*.cpp)
  set(TESTS ${SOURCES})
  list(FILTER TESTS INCLUDE REGEX "_test\\.cpp$")
  set(CUDA_TESTS ${TESTS})
  list(FILTER CUDA_TESTS INCLUDE REGEX "_cuda_test\\.cpp$")
  list(FILTER TESTS EXCLUDE REGEX "_cuda_test\\.cpp$")
  set(BENCHES ${SOURCES})
  list(FILTER BENCHES INCLUDE REGEX "_bench\\.cpp$")
  set(CUDA_BENCHES ${BENCHES})
  list(FILTER CUDA_BENCHES INCLUDE REGEX "_cuda_bench\\.cpp$")
  list(FILTER BENCHES EXCLUDE REGEX "_cuda_bench\\.cpp$")
  list(FILTER SOURCES EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$|/main\\.cpp$")
  if(TNL_CUDA)
    list(FILTER SOURCES EXCLUDE REGEX "no_cuda\\.cpp$")
    file(GLOB_RECURSE CUDA_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}/*.cu)
    list(APPEND SOURCES ${CUDA_SOURCES})
  else()
    list(FILTER SOURCES EXCLUDE REGEX "[a-z]*_cuda\\.cpp$" )
    file(GLOB_RECURSE NO_CUDA CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}/*no_cuda.cpp)
    list(APPEND SOURCES ${NO_CUDA})
  endif()
  if(NOT SOURCES)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
    set(SOURCES ${CMAKE_BINARY_DIR}/generated/empty.cpp)
    file(TOUCH ${SOURCES})
  endif()
  add_library(tnl_${NAME} STATIC ${SOURCES})
  add_library(transnormer::${NAME} ALIAS tnl_${NAME})
  set_target_properties(tnl_${NAME} PROPERTIES EXPORT_NAME ${NAME})
  target_include_directories(tnl_${NAME} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/transnormer>)
  target_link_libraries(tnl_${NAME} PUBLIC ${ARGN} PRIVATE $<BUILD_INTERFACE:tnl_flags>)
  foreach(FILE ${SOURCES})
    if(FILE MATCHES "_avx2\\.cpp$")
      set_source_files_properties(${FILE} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-ffp-contract=fast")
    elseif(FILE MATCHES "_avx512\\.cpp$")
      set_source_files_properties(${FILE} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512bf16;-mfma;-mprefer-vector-width=512;-ffp-contract=fast")
    endif()
  endforeach()
  if(TNL_TESTS AND TESTS)
    add_executable(${NAME}_test ${TESTS})
    target_link_libraries(${NAME}_test PRIVATE tnl_${NAME} tnl_flags GTest::gtest_main GTest::gmock)
    gtest_discover_tests(${NAME}_test TEST_PREFIX "${NAME}." DISCOVERY_TIMEOUT 60
      PROPERTIES TIMEOUT 600)
  endif()
  if(TNL_CUDA AND TNL_TESTS AND CUDA_TESTS)
    add_executable(${NAME}_cuda_test ${CUDA_TESTS})
    target_link_libraries(${NAME}_cuda_test PRIVATE tnl_${NAME} tnl_flags GTest::gtest_main)
    gtest_discover_tests(${NAME}_cuda_test TEST_PREFIX "${NAME}.cuda." DISCOVERY_TIMEOUT 60
      PROPERTIES TIMEOUT 600)
  endif()
  if(TNL_CUDA AND TNL_BENCH AND CUDA_BENCHES)
    add_executable(${NAME}_cuda_bench ${CUDA_BENCHES})
    target_link_libraries(${NAME}_cuda_bench PRIVATE tnl_${NAME} tnl_flags)
  endif()
  if(TNL_BENCH AND BENCHES)
    add_executable(${NAME}_bench ${BENCHES})
    target_link_libraries(${NAME}_bench PRIVATE tnl_${NAME} tnl_flags benchmark::benchmark_main)
  endif()
endfunction()
