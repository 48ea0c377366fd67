// One HTTP connection: reads requests, hands them to the service, writes what comes back. Every
// member runs on the socket's strand.
#pragma once

#include "serve/service.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <deque>

namespace tnl {

struct HttpLimits {
    size_t body = size_t{16} << 20;
    size_t header = size_t{32} << 10;
    size_t outbox = size_t{1} << 20;           // bytes of a stream that wait for its reader
    std::chrono::milliseconds timeout{30'000}; // of a request's arrival and of each write
    // Of a stream without news, until it gets a comment; 0: it gets none.
    std::chrono::milliseconds keep_alive{15'000};
};

class Connection : public Channel, public std::enable_shared_from_this<Connection> {
  public:
    Connection(boost::asio::ip::tcp::socket socket, Served& served, const HttpLimits& limits);
    ~Connection() override;
    void start();
    // No further request after the one under way. From any thread.
    void finish();
    // Ends at once, whatever is under way. From any thread.
    void abort();

    void post(std::function<void()> work) override;
    void send(Reply reply) override;
    void open_stream(const std::string& content_type) override;
    void write(std::string part) override;
    void end() override;

  private:
    using ErrorCode = boost::system::error_code;
    void read_header();
    void on_header(ErrorCode error);
    void read_body();
    void on_body(ErrorCode error);
    void watch_for_end();
    std::string head(int status, const std::string& content_type) const;
    void enqueue(std::string bytes);
    void write_next();
    void on_written(ErrorCode error);
    void answered();
    void refuse_and_close(Reply reply);
    void linger();
    void drop();
    void keep_alive();

    boost::beast::tcp_stream stream_;
    Served& served_;
    const HttpLimits& limits_;
    boost::beast::flat_buffer buffer_;
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    std::shared_ptr<Job> job_;
    boost::asio::steady_timer ping_;
    std::deque<std::string> outbox_; // the first is being written
    size_t outbox_bytes_ = 0;
    bool answering_ = false; // a request has been read and its answer is not all written
    bool chunked_ = false, streaming_ = false;
    bool keep_ = true;       // the connection, after this answer
    bool last_ = false;      // the answer is complete once the outbox is empty
    bool quiet_ = false;     // nothing was written since ping_ was set
    bool lingering_ = false; // the rest of what the client sends is thrown away
    bool finishing_ = false, gone_ = false;
    char discarded_[4096];
};

} // namespace tnl
