// The model that a server offers, and all that its answers are made with. Every member outlives the
// server's connections.
#pragma once

#include "infer/engine.h"
#include "infer/loaded_model.h"
#include "serve/api_request.h"
#include "serve/grammars.h"
#include "serve/metrics.h"

#include <atomic>

namespace tnl {

struct Served {
    const LoadedModel& loaded;
    Engine& engine;
    ApiLimits limits = {}; // with the model's name
    ChatTemplate chat = {};
    std::vector<int32_t> end_tokens = {};
    size_t state_bytes = 0;
    int64_t created = 0;      // seconds since 1970
    std::string api_key = {}; // empty: everyone may ask
    Grammars grammars{loaded, end_tokens};
    ServerMetrics metrics = {};
    std::atomic<bool> draining = false;
};

} // namespace tnl
