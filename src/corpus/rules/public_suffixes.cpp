// Hosts and registered domains by the Public Suffix List (publicsuffix.org), its ICANN part, as
// Python's tldextract finds them. (libpsl answers otherwise below exceptions of wildcards.)
#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/python_text.h"
#include "corpus/rules/url_lists.h"

#include <unicode/uidna.h>

#include <algorithm>
#include <map>

namespace tnl::corpus {
namespace {

// Beside "." what separates labels: U+3002, U+FF0E and U+FF61.
constexpr std::string_view kDots[] = {"\u3002", "\uFF0E", "\uFF61"};

std::string_view before(std::string_view text, std::string_view stop) {
    return text.substr(0, text.find(stop));
}

bool is_scheme(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '+' || c == '-' || c == '.';
    });
}

std::string host_name(std::string_view url) {
    const size_t slashes = url.find("//");
    if (slashes == 0)
        url.remove_prefix(2);
    else if (slashes != std::string_view::npos && slashes >= 2 && url[slashes - 1] == ':' &&
             is_scheme(url.substr(0, slashes - 1)))
        url.remove_prefix(slashes + 2);
    url = before(before(before(url, "/"), "?"), "#");
    if (const size_t at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
    if (url.starts_with('['))
        if (const size_t end = url.find(']'); end != std::string_view::npos)
            return std::string(url.substr(0, end + 1));
    std::string out(strip(before(url, ":")));
    for (const std::string_view dot : kDots)
        for (size_t i = 0; (i = out.find(dot, i)) != std::string::npos;)
            out.replace(i, dot.size(), ".");
    while (out.ends_with('.')) out.pop_back();
    return out;
}

// Lower case, and Unicode where it is in Punycode.
class Labels {
  public:
    Labels() : idna_(open()) {}
    ~Labels() { uidna_close(idna_); }
    Labels(const Labels&) = delete;
    Labels& operator=(const Labels&) = delete;
    std::string decode(std::string_view label) const {
        std::string lower;
        to_lower(label, lower);
        if (!lower.starts_with("xn--")) return lower;
        UErrorCode error = U_ZERO_ERROR;
        UIDNAInfo info = UIDNA_INFO_INITIALIZER;
        char out[256];
        const int32_t size =
            uidna_labelToUnicodeUTF8(idna_, lower.data(), static_cast<int32_t>(lower.size()), out,
                                     sizeof out, &info, &error);
        const bool fine = U_SUCCESS(error) && info.errors == 0 && size <= int32_t{sizeof out};
        return fine ? std::string(out, static_cast<size_t>(size)) : lower;
    }

  private:
    static UIDNA* open() {
        UErrorCode error = U_ZERO_ERROR;
        UIDNA* out = uidna_openUTS46(UIDNA_NONTRANSITIONAL_TO_UNICODE | UIDNA_CHECK_BIDI, &error);
        if (U_FAILURE(error)) fail("ICU's IDNA: {}", u_errorName(error));
        return out;
    }
    UIDNA* idna_;
};

} // namespace

struct PublicSuffixes::Tree {
    struct Node {
        bool ends = false;
        std::map<std::string, Node, std::less<>> next;
    };
    Node root;
    Labels labels;

    void add(std::string_view suffix) {
        Node* node = &root;
        for (;;) {
            const size_t dot = suffix.rfind('.');
            node = &node->next[std::string(suffix.substr(dot + 1))];
            if (dot == std::string_view::npos) break;
            suffix = suffix.substr(0, dot);
        }
        node->ends = true;
    }
    // Index of the label that the suffix begins with; as many as there are: there is none.
    size_t suffix(const std::vector<std::string_view>& host) const {
        const Node* node = &root;
        size_t found = host.size();
        for (size_t at = host.size(); at-- > 0;) {
            const std::string label = labels.decode(host[at]);
            if (const auto edge = node->next.find(label); edge != node->next.end()) {
                node = &edge->second;
                if (node->ends) found = at;
                continue;
            }
            if (node->next.contains("*")) return node->next.contains("!" + label) ? at + 1 : at;
            break;
        }
        return found;
    }
};

PublicSuffixes::PublicSuffixes(const std::filesystem::path& file) {
    const std::string text = read_file(file);
    auto tree = std::make_unique<Tree>();
    std::vector<std::string_view> lines;
    split_newlines(text, lines);
    for (const std::string_view line : lines) {
        if (line.find("===BEGIN PRIVATE DOMAINS===") != std::string_view::npos) break;
        const std::string_view suffix = before(strip(line), " ");
        if (!suffix.empty() && !suffix.starts_with("//")) tree->add(suffix);
    }
    if (tree->root.next.empty())
        fail("{}: has no suffixes, wanted the Public Suffix List", file.string());
    tree_ = std::move(tree);
}
PublicSuffixes::~PublicSuffixes() = default;
PublicSuffixes::PublicSuffixes(PublicSuffixes&&) noexcept = default;

Host PublicSuffixes::host_of(std::string_view url) const {
    Host out;
    const std::string name = host_name(url);
    if (name.starts_with('[')) return out;
    std::vector<std::string_view> labels;
    for (size_t at = 0; at <= name.size();) {
        const size_t end = std::min(name.find('.', at), name.size());
        labels.push_back(std::string_view(name).substr(at, end - at));
        at = end + 1;
    }
    const size_t suffix = tree_->suffix(labels);
    if (suffix == labels.size() || suffix == 0) return out; // no suffix, or nothing before it
    const std::string_view domain = labels[suffix - 1];
    if (domain.empty()) return out;
    out.domain = name.substr(static_cast<size_t>(domain.data() - name.data()));
    // Empty labels at the beginning are no part of it.
    out.name = out.domain;
    if (suffix >= 2) {
        std::string subdomain =
            name.substr(0, static_cast<size_t>(domain.data() - name.data()) - 1);
        if (!subdomain.empty()) out.name = subdomain + "." + out.domain;
    }
    return out;
}

} // namespace tnl::corpus
