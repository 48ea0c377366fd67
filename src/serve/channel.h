// The way back to one client, as the answering side sees it: no HTTP library shows through.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tnl {

struct Reply {
    int status = 200;
    std::string body;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers = {}; // more of them
};

// All but post() is called on the channel's own thread of execution. Nothing reaches a client that
// has gone.
class Channel {
  public:
    virtual ~Channel() = default;
    // Runs `work` on the channel's thread of execution, later. From any thread.
    virtual void post(std::function<void()> work) = 0;
    // Either a whole answer,
    virtual void send(Reply reply) = 0;
    // or one in parts, of unknown length; then end().
    virtual void open_stream(const std::string& content_type) = 0;
    virtual void write(std::string part) = 0;
    virtual void end() = 0;
};

} // namespace tnl
