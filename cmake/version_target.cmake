# tnl_version_header(TARGET): gives TARGET a version_data.h that follows the checked-out commit.
function(tnl_version_header TARGET)
  set(CUDA "no")
  if(TNL_CUDA)
    set(CUDA "yes, toolkit ${CUDAToolkit_VERSION}, architectures ${TNL_CUDA_ARCHITECTURES}")
  endif()
  set(BUILD_TYPE ${CMAKE_BUILD_TYPE})
  if(TNL_SANITIZE)
    string(APPEND BUILD_TYPE " with -fsanitize=${TNL_SANITIZE}")
  endif()
  set(OUTPUT ${CMAKE_BINARY_DIR}/generated/version_data.h)
  add_custom_target(tnl_version BYPRODUCTS ${OUTPUT} VERBATIM
    COMMAND ${CMAKE_COMMAND} -D SOURCE=${PROJECT_SOURCE_DIR} -D OUTPUT=${OUTPUT}
      -D VERSION=${PROJECT_VERSION} "-DBUILD_TYPE=${BUILD_TYPE}" "-DCUDA=${CUDA}"
      "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
      -D SENTENCEPIECE=${SENTENCEPIECE_VERSION}
      -P ${PROJECT_SOURCE_DIR}/cmake/version.cmake)
  add_dependencies(${TARGET} tnl_version)
  target_include_directories(${TARGET} PRIVATE ${CMAKE_BINARY_DIR}/generated)
endfunction()
