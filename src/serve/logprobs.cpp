#include "serve/logprobs.h"

#include "text/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace tnl {
namespace {

// JSON has no -infinity: the value that other servers send for it.
double finite(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

int64_t characters(std::string_view bytes) {
    return std::count_if(bytes.begin(), bytes.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string named_bytes(const std::string& bytes) {
    if (first_invalid_utf8(bytes) == std::string::npos) return bytes;
    std::string out = "bytes:";
    for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return out;
}

// Ids of the model beyond the tokenizer stand for no text.
bool has_text(const Tokenizer& tokenizer, int32_t id) {
    return id >= 0 && id < tokenizer.vocab_size();
}

std::string bytes_of(const Tokenizer& tokenizer, int32_t id) {
    return has_text(tokenizer, id) ? tokenizer.token_bytes(id) : std::string();
}

} // namespace

std::string token_name(const Tokenizer& tokenizer, int32_t id) {
    if (!has_text(tokenizer, id)) return fmt::format("<unused {}>", id);
    const std::string bytes = tokenizer.token_bytes(id);
    return bytes.empty() ? tokenizer.piece(id) : named_bytes(bytes);
}

void Logprobs::add_unscored(int32_t token) { entries_.push_back({{token, 0, {}}, false}); }

void Logprobs::add(const ScoredToken& scored) { entries_.push_back({scored, true}); }

std::string Logprobs::named(int32_t token) {
    std::string bytes = bytes_of(*tokenizer_, token);
    if (bytes.empty()) return token_name(*tokenizer_, token);
    if (drop_space_ && bytes.front() == ' ') bytes.erase(0, 1);
    drop_space_ = false;
    offset_ += characters(bytes);
    return named_bytes(bytes);
}

Json Logprobs::take_completion() {
    Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
         offsets = Json::array();
    for (const auto& [scored, has_score] : entries_) {
        offsets.push_back(offset_);
        const std::string name = named(scored.token);
        tokens.push_back(name);
        if (!has_score) {
            logprobs.push_back(nullptr);
            tops.push_back(nullptr);
            continue;
        }
        logprobs.push_back(finite(scored.logprob));
        Json top = Json::object();
        const int64_t wanted = std::min<int64_t>(top_, std::ssize(scored.top));
        bool listed = false;
        for (int64_t i = 0; i < wanted; ++i) { // best first
            const auto& [id, logprob] = scored.top[static_cast<size_t>(i)];
            listed = listed || id == scored.token;
            top.emplace(id == scored.token ? name : token_name(*tokenizer_, id), finite(logprob));
        }
        if (!listed) top.emplace(name, finite(scored.logprob));
        tops.push_back(std::move(top));
    }
    entries_.clear();
    Json out;
    out["tokens"] = std::move(tokens);
    out["token_logprobs"] = std::move(logprobs);
    out["top_logprobs"] = std::move(tops);
    out["text_offset"] = std::move(offsets);
    return out;
}

Json Logprobs::take_chat() {
    const auto describe = [&](int32_t id, float logprob) {
        const std::string bytes = bytes_of(*tokenizer_, id);
        Json out;
        out["token"] = token_name(*tokenizer_, id);
        out["logprob"] = finite(logprob);
        Json list = Json::array();
        for (const char c : bytes) list.push_back(static_cast<int>(static_cast<unsigned char>(c)));
        out["bytes"] = std::move(list);
        return out;
    };
    Json content = Json::array();
    for (const Entry& entry : entries_) {
        Json item = describe(entry.scored.token, entry.scored.logprob);
        Json top = Json::array();
        for (const auto& [id, logprob] : entry.scored.top)
            if (std::ssize(top) < top_) top.push_back(describe(id, logprob));
        item["top_logprobs"] = std::move(top);
        content.push_back(std::move(item));
    }
    entries_.clear();
    Json out;
    out["content"] = std::move(content);
    return out;
}

} // namespace tnl
