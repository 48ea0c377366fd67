#include "serve/connection.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include <sys/socket.h>

namespace tnl {
namespace {

namespace http = boost::beast::http;
using boost::asio::buffer;
constexpr std::chrono::seconds kLinger{2};

std::string text(boost::beast::string_view view) { return {view.data(), view.size()}; }

} // namespace

Connection::Connection(boost::asio::ip::tcp::socket socket, Served& served,
                       const HttpLimits& limits)
    : stream_(std::move(socket)), served_(served), limits_(limits), ping_(stream_.get_executor()) {
    ErrorCode ignored;
    stream_.socket().set_option(boost::asio::ip::tcp::no_delay(true), ignored);
    served_.metrics.connections(1);
}

Connection::~Connection() { served_.metrics.connections(-1); }

void Connection::start() {
    post([self = shared_from_this()] { self->read_header(); });
}

void Connection::finish() {
    post([self = shared_from_this()] {
        self->finishing_ = true;
        if (!self->answering_) self->drop();
    });
}

void Connection::abort() {
    post([self = shared_from_this()] { self->drop(); });
}

void Connection::post(std::function<void()> work) {
    boost::asio::post(stream_.get_executor(), std::move(work));
}

void Connection::read_header() {
    if (gone_) return;
    answering_ = false;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits_.header));
    parser_->body_limit(limits_.body);
    stream_.expires_after(limits_.timeout);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](ErrorCode error, size_t) { self->on_header(error); });
}

// What is wrong with a request as HTTP, or nothing where its sender has gone.
static std::optional<Reply> reply_of_error(boost::system::error_code error,
                                           const HttpLimits& limits) {
    const auto of = [](int status, const std::string& message) {
        return reply_of(ApiError(status, "invalid_request_error", message));
    };
    if (error == http::error::body_limit)
        return of(413, fmt::format("the request's body is larger than {} bytes", limits.body));
    if (error == http::error::header_limit)
        return of(431, fmt::format("the request's header is larger than {} bytes", limits.header));
    if (error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
        return of(400, fmt::format("not an HTTP request: {}", error.message()));
    return std::nullopt;
}

void Connection::on_header(ErrorCode error) {
    if (gone_) return;
    if (error) {
        auto reply = reply_of_error(error, limits_);
        return reply ? refuse_and_close(std::move(*reply)) : drop();
    }
    answering_ = true;
    const auto& request = parser_->get();
    keep_ = request.keep_alive();
    const std::string target = text(request.target());
    if (auto refusal =
            refuse(served_, text(request.method_string()), target.substr(0, target.find('?')),
                   text(request[http::field::authorization]));
        refusal && !parser_->is_done())
        return refuse_and_close(std::move(*refusal));
    if (!boost::beast::iequals(request[http::field::expect], "100-continue")) return read_body();
    static const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    boost::asio::async_write(stream_, buffer(kContinue),
                             [self = shared_from_this()](ErrorCode failed, size_t) {
                                 failed ? self->drop() : self->read_body();
                             });
}

void Connection::read_body() {
    stream_.expires_after(limits_.timeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](ErrorCode error, size_t) { self->on_body(error); });
}

void Connection::on_body(ErrorCode error) {
    if (gone_) return;
    if (error) {
        auto reply = reply_of_error(error, limits_);
        return reply ? refuse_and_close(std::move(*reply)) : drop();
    }
    stream_.expires_never();
    auto& request = parser_->get();
    const std::string target = text(request.target());
    Call call{text(request.method_string()), target.substr(0, target.find('?')),
              text(request[http::field::authorization]), std::move(request.body())};
    chunked_ = request.version() >= 11;
    last_ = streaming_ = false;
    job_ = serve(served_, call, shared_from_this());
    if (job_) watch_for_end();
}

// While an answer is being made, a closed connection is the only thing to hear from the client.
// What it sends ahead stays in the socket, and then its end is found when writing.
void Connection::watch_for_end() {
    stream_.socket().async_wait(
        boost::asio::ip::tcp::socket::wait_read, [self = shared_from_this()](ErrorCode error) {
            if (error || self->gone_ || !self->job_) return;
            char byte = 0;
            const ssize_t got =
                ::recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) self->drop();
        });
}

std::string Connection::head(int status, const std::string& content_type) const {
    const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
    std::string out = fmt::format("HTTP/1.1 {} {}\r\nServer: transnormer\r\nContent-Type: {}\r\n"
                                  "Connection: {}\r\n",
                                  status, text(reason), content_type,
                                  keep_ && !finishing_ ? "keep-alive" : "close");
    return out;
}

void Connection::send(Reply reply) {
    if (gone_) return;
    served_.metrics.response(reply.status);
    if (served_.draining) finishing_ = true;
    std::string out = head(reply.status, reply.content_type);
    for (const auto& [name, value] : reply.headers) out += fmt::format("{}: {}\r\n", name, value);
    out += fmt::format("Content-Length: {}\r\n\r\n", reply.body.size());
    last_ = true;
    enqueue(std::move(out) + reply.body);
}

void Connection::open_stream(const std::string& content_type) {
    if (gone_) return;
    served_.metrics.response(200);
    streaming_ = true;
    if (served_.draining) finishing_ = true;
    if (!chunked_) keep_ = false; // its end is that of the connection
    std::string out = head(200, content_type) + "Cache-Control: no-store\r\n";
    if (chunked_) out += "Transfer-Encoding: chunked\r\n";
    enqueue(out + "\r\n");
    keep_alive();
}

// A comment, which clients pass over (by the standard of server-sent events).
void Connection::keep_alive() {
    if (limits_.keep_alive.count() == 0) return;
    quiet_ = true;
    ping_.expires_after(limits_.keep_alive);
    ping_.async_wait([self = shared_from_this()](ErrorCode cancelled) {
        if (cancelled || self->gone_ || !self->streaming_ || self->last_) return;
        if (self->quiet_ && self->outbox_.empty()) self->write(": ping\n\n");
        self->keep_alive();
    });
}

void Connection::write(std::string part) {
    if (gone_ || part.empty()) return;
    quiet_ = false;
    if (outbox_bytes_ > limits_.outbox) {
        served_.metrics.dropped_slow_reader();
        return drop();
    }
    enqueue(chunked_ ? fmt::format("{:x}\r\n{}\r\n", part.size(), part) : std::move(part));
}

void Connection::end() {
    if (gone_) return;
    last_ = true;
    ping_.cancel();
    if (chunked_) return enqueue("0\r\n\r\n");
    if (outbox_.empty()) answered();
}

void Connection::enqueue(std::string bytes) {
    outbox_bytes_ += bytes.size();
    // What waits behind the piece being written goes out with one call.
    if (outbox_.size() >= 2) {
        outbox_.back() += bytes;
        return;
    }
    outbox_.push_back(std::move(bytes));
    if (outbox_.size() == 1) write_next();
}

void Connection::write_next() {
    stream_.expires_after(limits_.timeout);
    boost::asio::async_write(
        stream_, buffer(outbox_.front()),
        [self = shared_from_this()](ErrorCode error, size_t) { self->on_written(error); });
}

void Connection::on_written(ErrorCode error) {
    if (gone_) return;
    if (error) return drop();
    outbox_bytes_ -= outbox_.front().size();
    outbox_.pop_front();
    if (!outbox_.empty()) return write_next();
    stream_.expires_never();
    if (last_) answered();
}

void Connection::answered() {
    job_.reset();
    if (lingering_) return linger();
    if (!keep_ || finishing_) {
        ErrorCode ignored;
        stream_.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
        return drop();
    }
    read_header();
}

// The client may still be sending: were the connection closed now, its system would throw the
// answer away. So the rest is read for a while.
void Connection::refuse_and_close(Reply reply) {
    answering_ = true;
    keep_ = false;
    lingering_ = true;
    send(std::move(reply));
}

void Connection::linger() {
    ErrorCode ignored;
    stream_.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
    if (lingering_) stream_.expires_after(kLinger);
    lingering_ = false; // the time is for all that follows
    stream_.async_read_some(buffer(discarded_),
                            [self = shared_from_this()](ErrorCode error, size_t) {
                                if (self->gone_) return;
                                error ? self->drop() : self->linger();
                            });
}

void Connection::drop() {
    if (gone_) return;
    gone_ = true;
    if (job_) job_->cancel();
    job_.reset();
    ping_.cancel();
    ErrorCode ignored;
    stream_.socket().close(ignored);
}

} // namespace tnl
