# `cmake --install`: the program, the libraries and headers of the layers below it, and the files
# that make find_package(transnormer) work (examples/consumer).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(TNL_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/transnormer)

install(TARGETS transnormer RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${TNL_INSTALLED_LAYERS} EXPORT transnormerTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
include(${CMAKE_CURRENT_LIST_DIR}/install_library.cmake)
install(EXPORT transnormerTargets NAMESPACE transnormer:: DESTINATION ${TNL_PACKAGE_DIR})
foreach(LAYER ${TNL_INSTALLED_LAYERS})
  string(REPLACE "tnl_" "" LAYER ${LAYER})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/${LAYER}
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/transnormer FILES_MATCHING PATTERN "*.h")
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/transnormerConfig.cmake.in
  ${CMAKE_BINARY_DIR}/generated/transnormerConfig.cmake INSTALL_DESTINATION ${TNL_PACKAGE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/transnormerConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/transnormerConfig.cmake
  ${CMAKE_BINARY_DIR}/generated/transnormerConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/dependencies.cmake DESTINATION ${TNL_PACKAGE_DIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(PROGRAMS ${PROJECT_SOURCE_DIR}/bench/lightning_peers.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/transnormer)
