// libsentencepiece trusts the model files that it is given: some that are damaged end the process
// or make it read past its buffers. So everything that its loading and encoding rely on is checked
// before.
#pragma once

#include <string>
#include <string_view>

namespace tnl {

// model: a serialized SentencePiece ModelProto. Throws naming `name`, which stands for the file,
// and the offset or the piece that is wrong.
void check_sentencepiece_model(std::string_view model, const std::string& name);

} // namespace tnl
