#include "corpus/dedup/word_cuts.h"

namespace tnl::corpus {

WordCuts::WordCuts(WordCutter* cutter) : cutter_(cutter), whole_(cutter == nullptr ? 0 : kPlaces) {}

} // namespace tnl::corpus
