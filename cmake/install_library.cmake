# `cmake --install` of libtransnormer alone: the library, its two headers, CMake and pkg-config files
# (find_package(transnormer COMPONENTS lightning), pkg-config transnormer).
install(TARGETS tnl_library EXPORT transnormerLightningTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/transnormer
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT transnormerLightningTargets NAMESPACE transnormer::
  DESTINATION ${TNL_PACKAGE_DIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/transnormer.pc.in
  ${CMAKE_BINARY_DIR}/generated/transnormer.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/generated/transnormer.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
