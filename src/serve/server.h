// Listens, and lives until it is told to stop: then no request is taken any more, those under way
// are finished, and run() returns.
#pragma once

#include "serve/connection.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <mutex>

namespace tnl {

class Server {
  public:
    struct Options {
        std::string host = "127.0.0.1";
        uint16_t port = 8000; // 0: any that is free
        int threads = 2;      // of input and output
        HttpLimits http;
    };
    // Listens from now on. Throws Error naming host and port where that cannot be.
    Server(Served& served, Options options);

    uint16_t port() const { return acceptor_.local_endpoint().port(); }
    // Until SIGINT or SIGTERM; a second one ends what is under way at once.
    void run();

  private:
    void accept();
    void stop();
    void wait_for_connections();
    void add(boost::asio::ip::tcp::socket socket);
    std::vector<std::shared_ptr<Connection>> connections();

    Served& served_;
    const Options options_;
    boost::asio::io_context context_;
    // For accepting, signals and the timer; every connection has a strand of its own.
    boost::asio::strand<boost::asio::io_context::executor_type> strand_;
    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer timer_;
    std::mutex mutex_;
    std::vector<std::weak_ptr<Connection>> connections_; // under mutex_; some may be gone
};

} // namespace tnl
