#include "serve/server.h"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <thread>

namespace tnl {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

template <class Executor>
tcp::acceptor listen(const Executor& executor, const std::string& host, uint16_t port) {
    const std::string place = fmt::format("--host {} --port {}", host, port);
    error_code error;
    const auto found = tcp::resolver(executor).resolve(
        host, std::to_string(port), tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error || found.empty()) fail("{}: {}", place, error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    tcp::acceptor acceptor(executor);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(4096, error);
    if (error) fail("{}: cannot listen: {}", place, error.message());
    return acceptor;
}

} // namespace

Server::Server(Served& served, Options options)
    : served_(served), options_(std::move(options)), strand_(boost::asio::make_strand(context_)),
      acceptor_(listen(strand_, options_.host, options_.port)), signals_(strand_, SIGINT, SIGTERM),
      timer_(strand_) {}

void Server::accept() {
    acceptor_.async_accept(boost::asio::make_strand(context_),
                           [this](error_code error, tcp::socket socket) {
                               if (!acceptor_.is_open()) return;
                               if (!error) {
                                   add(std::move(socket));
                                   return accept();
                               }
                               // Out of file descriptors, mostly: some will come back.
                               timer_.expires_after(std::chrono::milliseconds(50));
                               timer_.async_wait([this](error_code cancelled) {
                                   if (!cancelled && acceptor_.is_open()) accept();
                               });
                           });
}

void Server::add(tcp::socket socket) {
    const auto connection = std::make_shared<Connection>(std::move(socket), served_, options_.http);
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(connections_, [](const auto& each) { return each.expired(); });
        connections_.push_back(connection);
    }
    connection->start();
}

std::vector<std::shared_ptr<Connection>> Server::connections() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Connection>> out;
    for (const auto& each : connections_)
        if (auto connection = each.lock()) out.push_back(std::move(connection));
    return out;
}

void Server::stop() {
    served_.draining = true;
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& connection : connections()) connection->finish();
    // Once more: at once.
    signals_.async_wait([this](error_code error, int) {
        if (error) return;
        for (const auto& connection : connections()) connection->abort();
    });
    wait_for_connections();
}

void Server::wait_for_connections() {
    if (connections().empty()) {
        signals_.cancel(); // nothing is left for run() to wait for
        return;
    }
    timer_.expires_after(std::chrono::milliseconds(20));
    timer_.async_wait([this](error_code) { wait_for_connections(); });
}

void Server::run() {
    boost::asio::post(strand_, [this] { accept(); });
    signals_.async_wait([this](error_code error, int) {
        if (!error) stop();
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.threads; ++i) threads.emplace_back([this] { context_.run(); });
    for (std::thread& thread : threads) thread.join();
}

} // namespace tnl
