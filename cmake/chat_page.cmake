# src/serve/chat.html as a string of the program. A literal may be 64 KiB long.
set(CHAT_HTML ${PROJECT_SOURCE_DIR}/src/serve/chat.html)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CHAT_HTML})
file(READ ${CHAT_HTML} CHAT_PAGE)
configure_file(${PROJECT_SOURCE_DIR}/cmake/chat_page.cpp.in
  ${CMAKE_BINARY_DIR}/generated/chat_page.cpp @ONLY)
target_sources(tnl_serve PRIVATE ${CMAKE_BINARY_DIR}/generated/chat_page.cpp)
