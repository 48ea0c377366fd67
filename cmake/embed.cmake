# tnl_embed(TARGET NAME FILE): FILE, text of at most 64 KiB, as a string of the program:
#   namespace tnl { std::string_view NAME(); }
function(tnl_embed TARGET NAME FILE)
  set(SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/${FILE})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SOURCE})
  file(READ ${SOURCE} CONTENT)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/embed.cpp.in ${CMAKE_BINARY_DIR}/generated/${NAME}.cpp
    @ONLY)
  target_sources(${TARGET} PRIVATE ${CMAKE_BINARY_DIR}/generated/${NAME}.cpp)
endfunction()
