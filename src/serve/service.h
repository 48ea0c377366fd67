// What each path of the server does, whatever carries the requests.
#pragma once

#include "serve/channel.h"
#include "serve/job.h"

namespace tnl {

struct Call {
    std::string method, path;  // path without the query
    std::string authorization; // that header
    std::string body;
};

// Status, message and headers of what cannot be served whatever its body says; otherwise nothing.
// For a connection to refuse a request before it reads the body.
std::optional<Reply> refuse(const Served& served, const std::string& method,
                            const std::string& path, const std::string& authorization);
Reply reply_of(const ApiError& error);

// Answers on the channel, at once or by the job that is returned, which is to be cancelled where
// the client goes.
std::shared_ptr<Job> serve(Served& served, const Call& call,
                           const std::shared_ptr<Channel>& channel);

} // namespace tnl
