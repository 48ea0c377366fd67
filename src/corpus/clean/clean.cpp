#include "corpus/clean/clean.h"

#include "corpus/words/characters.h"

#include <algorithm>

namespace tnl::corpus {
namespace {

// Whether one of the spans, which are in order, has bytes of [begin, end); to be asked in order.
class InSpans {
  public:
    explicit InSpans(const std::vector<Span>& spans) : spans_(spans) {}
    bool operator()(size_t begin, size_t end) {
        while (next_ < spans_.size() && spans_[next_].end <= begin) ++next_;
        return next_ < spans_.size() && spans_[next_].begin < end;
    }

  private:
    const std::vector<Span>& spans_;
    size_t next_ = 0;
};

// Applies `change` to what lies between the spans, which move with their text.
template <class Change>
void change_between(std::string& text, std::vector<Span>& spans, const Change& change) {
    std::string out, part;
    size_t from = 0;
    for (Span& span : spans) {
        change(std::string_view(text).substr(from, span.begin - from), part);
        out += part;
        const size_t begin = out.size();
        out.append(text, span.begin, span.end - span.begin);
        from = span.end;
        span = {begin, out.size()};
    }
    change(std::string_view(text).substr(from), part);
    out += part;
    text.swap(out);
}

// Calls f(begin, end) for every line of the text.
template <class F> void for_lines(std::string_view text, const F& f) {
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        f(begin, end);
        begin = end + 1;
    }
}

// One space for several, but for those that a line begins with, none at ends of lines, one blank
// line for several, none at the beginning and the end.
void tidy_lines(std::string_view text, const std::vector<Span>& spans, std::string& out) {
    InSpans is_protected(spans);
    out.clear();
    bool blank = true;
    for_lines(text, [&](size_t begin, size_t end) {
        const std::string_view line = text.substr(begin, end - begin);
        const bool as_it_is = is_protected(begin, end);
        const size_t last = line.find_last_not_of(' ');
        if (last == std::string_view::npos && !as_it_is) {
            if (!blank) out += '\n';
            blank = true;
            return;
        }
        blank = false;
        if (as_it_is) {
            out += line;
        } else {
            const size_t indent = line.find_first_not_of(' ');
            out += line.substr(0, indent);
            for (size_t i = indent; i <= last; ++i)
                if (line[i] != ' ' || line[i - 1] != ' ') out += line[i];
        }
        out += '\n';
    });
    while (!out.empty() && out.back() == '\n') out.pop_back();
}

} // namespace

Cleaned drop_garbled(std::string_view text, std::string& out) {
    std::vector<Span> spans;
    find_protected(text, spans);
    InSpans is_protected(spans);
    Cleaned counts;
    out.clear();
    for_lines(text, [&](size_t begin, size_t end) {
        const std::string_view line = text.substr(begin, end - begin);
        const size_t characters = count_characters(line);
        counts.characters += characters;
        if (!is_protected(begin, end) && is_garbled(line)) {
            counts.garbled += characters;
            return;
        }
        out += line;
        if (end < text.size()) out += '\n';
    });
    return counts;
}

Cleaned clean(const CleanRules& rules, std::string_view text, std::string& out) {
    std::string work;
    Cleaned counts;
    if (rules.garbled) {
        counts = drop_garbled(text, work);
        text = work;
    }
    clean_characters(text, rules.characters, rules.numbers, out);
    work.swap(out);
    std::vector<Span> spans;
    find_protected(work, spans);
    if (rules.tags) change_between(work, spans, strip_tags);
    if (rules.urls) change_between(work, spans, strip_urls);
    if (rules.punctuation) change_between(work, spans, strip_repeated_punctuation);
    tidy_lines(work, spans, out);
    return counts;
}

} // namespace tnl::corpus
