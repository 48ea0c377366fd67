// The chat page, compiled in: src/serve/chat.html.
#pragma once

#include <string_view>

namespace tnl {

std::string_view chat_page();

} // namespace tnl
