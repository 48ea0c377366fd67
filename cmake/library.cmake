# libtransnormer: the attention operator behind the C interface (include/transnormer), for C, C++,
# dlopen and the Python module. Exports tnl_* alone, and stays loaded once it is: its threads do.
target_include_directories(tnl_capi PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
target_compile_definitions(tnl_capi PRIVATE TNL_VERSION="${PROJECT_VERSION}")

file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
file(TOUCH ${CMAKE_BINARY_DIR}/generated/empty.cpp)
add_library(tnl_library SHARED ${CMAKE_BINARY_DIR}/generated/empty.cpp)
add_library(transnormer::lightning ALIAS tnl_library)
set_target_properties(tnl_library PROPERTIES OUTPUT_NAME transnormer EXPORT_NAME lightning
  SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/transnormer.map
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_include_directories(tnl_library PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_options(tnl_library PRIVATE -Wl,--as-needed -Wl,-z,nodelete
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/transnormer.map)
if(NOT TNL_SANITIZE) # Clang's sanitizers are in the program alone
  target_link_options(tnl_library PRIVATE -Wl,-z,defs)
endif()
target_link_libraries(tnl_library PRIVATE
  -Wl,--whole-archive tnl_capi -Wl,--no-whole-archive tnl_flags)
if(TNL_OPERATOR_ONLY) # to be carried to other machines: no C++ library of their own is needed
  target_link_options(tnl_library PRIVATE -static-libstdc++ -static-libgcc)
endif()
