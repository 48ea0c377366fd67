#include "train/learner_copy.h"

namespace tnl {
namespace {

bool own_master(const LearnerView& view) {
    return view.master.data && view.weights.dtype != DType::f32;
}

} // namespace

LearnerView::LearnerView(const Learner& learner)
    : model(&learner.model()), device(&learner.device()), weights(learner.weights()),
      master(learner.optimizer().master()), m(learner.optimizer().m()), v(learner.optimizer().v()),
      carried(learner.carried()), updates(learner.optimizer().updates()) {}

Tensor LearnerView::trained() const {
    return master.data ? master : weights.slice(0, model->params().trained_begin(), weights.size());
}

size_t LearnerCopy::bytes(const Learner& learner) {
    const LearnerView view(learner);
    int64_t sum = view.weights.bytes() + view.m.bytes() + view.v.bytes();
    if (own_master(view)) sum += view.master.bytes();
    for (const Tensor& state : view.carried.layers) sum += state.bytes();
    return static_cast<size_t>(sum);
}

// The host's memory as the learner's device takes it: what a GPU copies to at the bus's full speed.
Tensor LearnerCopy::place(const Tensor& like, Device& device) {
    owned_.emplace_back(device, like.dtype, like.shape.data(), like.rank, Place::host);
    return owned_.back();
}

LearnerCopy::LearnerCopy(const Learner& learner) : host_(make_cpu_device(1)) {
    view_.model = &learner.model();
    view_.device = host_.get();
    const LearnerView from(learner);
    Device& device = learner.device();
    view_.weights = place(from.weights, device);
    view_.m = place(from.m, device);
    view_.v = place(from.v, device);
    if (own_master(from))
        view_.master = place(from.master, device);
    else if (from.master.data)
        view_.master = view_.trained();
    for (const Tensor& state : from.carried.layers)
        view_.carried.layers.push_back(place(state, device));
}

void LearnerCopy::take(const Learner& learner) {
    const LearnerView from(learner);
    const auto copy = [&](const Tensor& to, const Tensor& of) {
        learner.device().download(to.data, of.data, static_cast<size_t>(of.bytes()));
    };
    copy(view_.weights, from.weights);
    copy(view_.m, from.m);
    copy(view_.v, from.v);
    if (own_master(from)) copy(view_.master, from.master);
    for (size_t l = 0; l < from.carried.layers.size(); ++l)
        copy(view_.carried.layers[l], from.carried.layers[l]);
    view_.updates = from.updates;
}

} // namespace tnl
