// What cleaning must not touch: code of Markdown and formulas of LaTeX.
#include "corpus/clean/clean.h"

#include <algorithm>
#include <map>

namespace tnl::corpus {
namespace {

// In bytes; what is longer is no formula but a stray mark.
constexpr size_t kLongestFormula = 10000, kLongestInline = 1000, kLongestEnvironment = 100000;

// Where a string stands next, for questions that mostly move on: each part of the text is searched
// once.
class Next {
  public:
    Next(std::string_view text, std::string what) : text_(text), what_(std::move(what)) {}
    size_t operator()(size_t from) { // npos: nowhere from there on
        if (!known_ || (at_ < from && at_ != std::string_view::npos)) at_ = text_.find(what_, from);
        known_ = true;
        return at_;
    }
    size_t size() const { return what_.size(); }

  private:
    std::string_view text_;
    std::string what_;
    size_t at_ = 0;
    bool known_ = false;
};

class Finder {
  public:
    Finder(std::string_view text, std::vector<Span>& spans)
        : text_(text), spans_(spans), round_(text, "\\)"), square_(text, "\\]"),
          dollars_(text, "$$"), blank_(text, "\n\n") {}

    void find() {
        size_t at = 0;
        constexpr ByteSet kMarks("`$\\~");
        while ((at = kMarks.next(text_, at)) < text_.size()) {
            const size_t end = end_of(at);
            if (end > at) spans_.push_back({at, end});
            at = end > at ? end : at + 1;
        }
    }

  private:
    // After what begins at `at`, or `at` where nothing does.
    size_t end_of(size_t at) {
        const char c = text_[at];
        if (c == '`' || c == '~') {
            if (const size_t end = fence_end(at); end > at) return end;
            return c == '`' ? code_end(at) : at;
        }
        if (c == '$') return dollar_end(at);
        const std::string_view rest = text_.substr(at);
        if (rest.starts_with("\\(")) return closed(at, at + 2, round_);
        if (rest.starts_with("\\[")) return closed(at, at + 2, square_);
        if (rest.starts_with("\\begin{")) return environment_end(at);
        return at;
    }
    // After `close`, if it comes soon and no blank line before it.
    size_t closed(size_t at, size_t from, Next& close) {
        const size_t end = close(from);
        if (end == std::string_view::npos || end - from > kLongestFormula || blank_(from) < end)
            return at;
        return end + close.size();
    }
    size_t run(size_t at) const { // of the character at `at`
        size_t end = at;
        while (end < text_.size() && text_[end] == text_[at]) ++end;
        return end - at;
    }
    // At most three spaces since the last end of a line.
    bool begins_line(size_t at) const {
        size_t spaces = 0;
        while (at > 0 && text_[at - 1] == ' ' && spaces < 4) {
            --at;
            ++spaces;
        }
        return spaces < 4 && (at == 0 || text_[at - 1] == '\n');
    }
    size_t fence_end(size_t at) {
        const size_t length = run(at);
        size_t& none = text_[at] == '~' ? no_tildes_ : no_backticks_;
        if (length < 3 || length >= none || !begins_line(at)) return at;
        for (size_t line = text_.find('\n', at); line != std::string_view::npos;
             line = text_.find('\n', line)) {
            const size_t mark = text_.find_first_not_of(' ', ++line);
            if (mark == std::string_view::npos) break;
            if (text_[mark] != text_[at] || run(mark) < length || !begins_line(mark)) continue;
            const size_t end = mark + run(mark);
            if (text_.find_first_not_of(" \r", end) == text_.find('\n', end)) return end;
        }
        none = length;
        return at; // a fence that is not closed protects nothing
    }
    size_t code_end(size_t at) const { // as many backticks, in the same line
        const size_t length = run(at);
        const size_t line = std::min(text_.find('\n', at), text_.size());
        for (size_t i = at + length; i < line;) {
            if (text_[i] != '`') {
                ++i;
                continue;
            }
            const size_t closing = run(i);
            if (closing == length) return i + closing;
            i += closing;
        }
        return at + length; // the backticks alone
    }
    // Pandoc's rule: a dollar opens before and closes after what is no space; none closes before a
    // digit.
    size_t dollar_end(size_t at) {
        if (text_.substr(at).starts_with("$$")) return closed(at, at + 2, dollars_);
        if (at > 0 && text_[at - 1] == '\\') return at;
        const auto is_space = [&](size_t i) { return text_[i] == ' ' || text_[i] == '\n'; };
        if (at + 1 >= text_.size() || is_space(at + 1)) return at;
        for (size_t i = at + 1; i < text_.size() && i - at < kLongestInline; ++i) {
            if (text_[i] == '\n' && i + 1 < text_.size() && text_[i + 1] == '\n') return at;
            if (text_[i] != '$' || is_space(i - 1) || text_[i - 1] == '\\') continue;
            const bool digit = i + 1 < text_.size() && text_[i + 1] >= '0' && text_[i + 1] <= '9';
            return digit || i == at + 1 ? at : i + 1;
        }
        return at;
    }
    size_t environment_end(size_t at) {
        const size_t name = at + std::string_view("\\begin{").size(), brace = text_.find('}', name);
        if (brace == std::string_view::npos || brace - name > 40) return at;
        const std::string close = "\\end{" + std::string(text_.substr(name, brace + 1 - name));
        Next& next = environments_.try_emplace(close, text_, close).first->second;
        const size_t end = next(brace);
        if (end == std::string_view::npos || end - brace > kLongestEnvironment) return at;
        return end + close.size();
    }

    std::string_view text_;
    std::vector<Span>& spans_;
    Next round_, square_, dollars_, blank_;
    std::map<std::string, Next> environments_;
    // Fences of so many marks or more do not close from here on.
    size_t no_tildes_ = std::string_view::npos, no_backticks_ = std::string_view::npos;
};

} // namespace

void find_protected(std::string_view text, std::vector<Span>& spans) {
    spans.clear();
    Finder(text, spans).find();
}

} // namespace tnl::corpus
