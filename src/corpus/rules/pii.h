// Personal data out of texts: e-mail addresses and IPv4 addresses become ones that are nobody's, as
// datatrove's PIIFormatter does it; replacements are taken in turn. There the turns go on from one
// document to the next; here each document begins anew, so that what becomes of one does not depend
// on the others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct PiiRules {
    bool emails = true, ips = true, public_ips_only = true;
    std::vector<std::string> email_replacements = {"email@example.com",
                                                   "firstname.lastname@example.org"};
    // datatrove's: addresses that answered nobody.
    std::vector<std::string> ip_replacements = {"22.214.171.124", "126.96.36.199",
                                                "188.8.131.52",   "184.108.40.206",
                                                "220.127.116.11", "18.104.22.168"};

    template <class V> void fields(V&& visit) {
        visit("emails", emails, "replace e-mail addresses");
        visit("ips", ips, "replace IPv4 addresses");
        visit("public_ips_only", public_ips_only,
              "leave addresses of private networks, of documentation and the like");
        visit("email_replacements", email_replacements, "what e-mail addresses become, in turn");
        visit("ip_replacements", ip_replacements, "what IPv4 addresses become, in turn");
    }
    // Throws UsageError: `place`, field, and what is wanted.
    void validate(const std::string& place) const;
};

// `out` receives the text (UTF-8).
void mask_pii(const PiiRules& rules, std::string_view text, std::string& out);

// [begin, end) in bytes; begin == end: there is none from `at` on. Texts must be valid UTF-8.
struct Found {
    size_t begin, end;
};
Found find_email(std::string_view text, size_t at);
Found find_ipv4(std::string_view text, size_t at); // four numbers below 256 with periods between

// Of four numbers without leading zeros, whether IANA's registry of special addresses calls it
// globally reachable (RFC 6890), as Python's ipaddress does.
bool is_public_ipv4(std::string_view address);

} // namespace tnl::corpus
