#include "corpus/words/special_cases.h"

#include <array>
#include <string_view>

namespace tnl::corpus {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> out;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find(separator, at), text.size());
        if (end > at) out.emplace_back(text.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

constexpr std::string_view kEmoticons = R"(
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-(
:(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O
:o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^
^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o
0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯
(╯°□°）╯︵┻━┻ ><(((*> )";
constexpr std::string_view kCommon = R"(
' '' \") \t \n <space> C++ — a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y.
z. ä. ö. ü. )";

// Every head with every tail; | stands between the pieces of a tail. Heads begin with a small and
// with a capital letter.
struct Contractions {
    std::string_view heads, tails;
};
constexpr std::string_view kModal = "'ll ll 'll|'ve ll|ve 'd d 'd|'ve d|ve";
constexpr Contractions kContractions[] = {
    {"i you he she it we they", kModal},
    {"who what when where why how there that this these those", kModal},
    {"i", "'m m 'm|a m|a"},
    {"i you we they", "'ve ve"},
    {"you we they", "'re re"},
    {"he she it who what when where why how there that this", "'s s"},
    {"who what when where why how there these those", "'re re 've ve"},
    {"ca could do does did had may might must need ought sha should wo would",
     "n't nt n't|'ve nt|ve"},
    {"could might must should would", "'ve ve"},
    {"ai are is was were have has dare", "n't nt"},
    {"not", "'ve ve"},
    {"let", "'s"},
    {"can", "not"},
    {"gon", "na"},
    {"got", "ta"},
    {"c'm", "on"},
    {"how", "'d|'y"},
};
// Words that look like contractions.
constexpr std::string_view kNone =
    "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well "
    "Whore whore";
// Of one piece, with a small and a capital letter.
constexpr std::string_view kBoth =
    "doin doin' goin goin' nothin nothin' nuthin nuthin' ol ol' somethin "
    "somethin' lovin lovin' havin havin' ma'am o'clock";
constexpr std::string_view kOnce = R"(
em 'em ll 'll nuff 'nuff 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout
'd Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan.
Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev.
Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr.
e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D.
Prof. Rep. Rev. Sen. St. vs. v.s. )";

void add_whole(SpecialCases& cases, std::string_view list) {
    std::string flat(list);
    for (char& c : flat)
        if (c == '\n') c = ' ';
    for (const std::string& text : split(flat, ' ')) cases[text] = {text};
}

std::string capital(std::string text) {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text;
}

void add_contractions(SpecialCases& cases) {
    for (const auto& [heads, tails] : kContractions) {
        for (const std::string& small : split(heads, ' ')) {
            for (const std::string& head : {small, capital(small)}) {
                for (const std::string& tail : split(tails, ' ')) {
                    std::vector<std::string> pieces = split(tail, '|');
                    pieces.insert(pieces.begin(), head);
                    std::string whole;
                    for (const std::string& piece : pieces) whole += piece;
                    cases[whole] = std::move(pieces);
                }
            }
        }
    }
    cases["y'all"] = {"y'", "all"};
    cases["yall"] = {"y", "all"};
    for (int hour = 1; hour <= 12; ++hour)
        for (const char* const half : {"a.m.", "am", "p.m.", "pm"})
            cases[std::to_string(hour) + half] = {std::to_string(hour), half};
    for (const std::string& none : split(kNone, ' ')) cases.erase(none);
}

std::string with_curved(const std::string& text) {
    std::string out;
    for (const char c : text) c == '\'' ? out += "’" : out += c;
    return out;
}

} // namespace

SpecialCases common_cases() {
    SpecialCases out;
    add_whole(out, kEmoticons);
    add_whole(out, kCommon);
    for (const char* const space : {" ", "\t", "\n", "\u00A0"}) out[space] = {space};
    for (const char scale : std::string_view("cfkCFK"))
        out[std::string("°") + scale + '.'] = {"°", {scale}, "."};
    return out;
}

SpecialCases english_cases() {
    SpecialCases out = common_cases();
    add_contractions(out);
    add_whole(out, kOnce);
    for (const std::string& small : split(kBoth, ' '))
        for (const std::string& text : {small, capital(small)}) out[text] = {text};
    SpecialCases curved; // as all are with ’
    for (const auto& [text, pieces] : out) {
        if (text.find('\'') == std::string::npos) continue;
        std::vector<std::string>& to = curved[with_curved(text)];
        for (const std::string& piece : pieces) to.push_back(with_curved(piece));
    }
    out.merge(curved);
    return out;
}

} // namespace tnl::corpus
