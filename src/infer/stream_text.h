// From tokens to the text that may be shown: whole UTF-8 characters, and nothing that belongs to a
// stop string or might still turn out to.
#pragma once

#include "infer/stop_filter.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tnl {

class StreamText {
  public:
    // after_text: the tokens continue a text, so that a leading space is part of them; otherwise
    // the space that the encoder puts before every text is dropped. tokenizer must outlive this.
    StreamText(const Tokenizer& tokenizer, std::vector<std::string> stops, bool after_text);

    // The text that `token` makes final; empty while a character or a possible stop string is
    // incomplete, and after stopped().
    std::string push(int32_t token);
    // The end of the tokens: what was held back. An incomplete character comes out as U+FFFD.
    std::string finish();

    bool stopped() const { return filter_.stopped(); }
    const std::string& stop_string() const { return filter_.found(); } // when stopped()

  private:
    const Tokenizer& tokenizer_;
    Utf8Stream characters_;
    StopFilter filter_;
    bool drop_space_;
};

} // namespace tnl
