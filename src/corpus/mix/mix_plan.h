// How often the documents of each group are read in training.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace tnl::corpus {

struct GroupSize {
    uint64_t documents = 0, bytes = 0, tokens = 0;
};

struct MixWeights {
    // Either how often each group is read (2.5: twice, and half of it once more); groups that are
    // not named once.
    std::map<std::string, double> epochs;
    // Or how much is wanted in all, and in which shares; without shares those that groups have.
    std::optional<uint64_t> target;
    bool target_tokens = false; // in tokens, else bytes of text
    std::map<std::string, double> weights;
    double most_epochs = 0; // of a group, whatever it lacks then; 0: no limit
};

// The epochs of each group. Throws UsageError naming a group that is not there, or has no weight.
std::map<std::string, double> plan_mix(const std::map<std::string, GroupSize>& sizes,
                                       const MixWeights& weights);

// Copies of a document: the whole part of epochs, and one more with the probability of the rest. A
// function of (seed, file, index).
int64_t copies_of(double epochs, uint64_t seed, uint64_t file, uint64_t index);
// Where a copy stands among all: they are written in the order of their keys.
uint64_t key_of(uint64_t seed, uint64_t file, uint64_t index, uint64_t copy);

} // namespace tnl::corpus
