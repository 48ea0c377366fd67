#include "infer/engine.h"

#include "infer/engine_loop.h"

namespace tnl {

Engine::Engine(Session& session, Options options)
    : loop_(std::make_unique<Loop>(session, options)) {}
Engine::~Engine() = default;

Engine::Ticket Engine::submit(EngineRequest request, EngineEvents events) {
    return loop_->submit(std::move(request), std::move(events));
}
void Engine::cancel(Ticket ticket) { loop_->cancel(ticket); }
void Engine::drain() { loop_->drain(); }
Engine::Stats Engine::stats() const { return loop_->stats(); }

} // namespace tnl
