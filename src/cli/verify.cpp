// transnormer verify: whether a checkpoint computes what a reference implementation recorded of it.
#include "cli/cli.h"
#include "cli/commands.h"
#include "infer/verification.h"

#include "base/json.h"
#include "model/checkpoint.h"

#include <fmt/ranges.h>

#include <cstdio>

namespace tnl {
namespace {

struct VerifyOptions {
    std::string model, expected, gradients, device = "auto", dtype = "f32";
    int64_t chunk = ReproductionOptions{}.chunk;
    int threads = 0;
    bool json = false;
};

// What there is to say about greedy tokens that are not the recorded ones.
std::string tokens_text(const Verification& v, const Recorded& recorded) {
    const int64_t all = recorded.sequences * recorded.steps;
    const auto others = static_cast<int64_t>(v.other_tokens.size());
    std::string text = fmt::format("greedy_ids: {} of {} as recorded", all - others, all);
    if (v.plain_other_tokens && (others || *v.plain_other_tokens))
        text += fmt::format("; plain bf16 has {}. Where they differ, the recorded logits are "
                            "nearer to each other than bf16 resolves",
                            all - static_cast<int64_t>(*v.plain_other_tokens));
    text += v.tokens_ok ? "\n" : "  BEYOND TOLERANCE\n";
    constexpr size_t kShown = 5;
    for (size_t i = 0; i < std::min(kShown, v.other_tokens.size()); ++i) {
        const Reproduction::Token& t = v.other_tokens[i];
        text += fmt::format("  [{}, {}]: {}, recorded {}; the recorded logits differ by {:.3g}\n",
                            t.row, t.step, t.computed, t.recorded, t.gap);
    }
    if (v.other_tokens.size() > kShown)
        text += fmt::format("  and {} more\n", v.other_tokens.size() - kShown);
    return text;
}

std::string not_compared(const Recorded& recorded, const RecordedGradients* gradients) {
    std::vector<std::string> names = recorded.unknown;
    if (gradients) names.insert(names.end(), gradients->unknown.begin(), gradients->unknown.end());
    return names.empty() ? "" : fmt::format("not compared: {}\n", fmt::join(names, ", "));
}

void print_text(const VerifyOptions& o, const Verification& v, const Recorded& recorded,
                const RecordedGradients* gradients, const Device& device) {
    const bool plain = v.plain_other_tokens.has_value();
    size_t width = 6, place = 2;
    for (const Verdict& t : v.tensors) {
        width = std::max(width, t.deviation.tensor.size());
        place = std::max(place, coordinate(t.deviation.shape, t.deviation.at).size());
    }
    fmt::print("{} in {} on {}: {} sequences of {} tokens{}, {} greedy tokens after each\n",
               o.model, o.dtype, device.name(), recorded.sequences, recorded.length,
               recorded.mask.empty() ? "" : ", padded", recorded.steps);
    fmt::print("{:<{}}  {:>8}  {:>8}{}  {:<{}}  {:>14}  {:>14}  computed\n", "tensor", width,
               "error", "allowed", plain ? "     plain       f32" : "", "at", place, "value",
               "recorded");
    for (const Verdict& t : v.tensors) {
        const Deviation& d = t.deviation;
        fmt::print("{:<{}}  {:8.2e}  {:8.2e}{}  {:<{}}  {:>14.7g}  {:>14.7g}  {}{}\n", d.tensor,
                   width, t.error, t.allowed,
                   plain ? fmt::format("  {:8.2e}  {:8.2e}", *t.plain, *t.f32) : "",
                   d.count ? coordinate(d.shape, d.at) : "-", place, d.computed, d.recorded, d.form,
                   t.ok() ? "" : "  BEYOND TOLERANCE");
    }
    fmt::print("{}", tokens_text(v, recorded));
    if (v.loss_counts_padding) fmt::print("train_loss counts masked targets too\n");
    fmt::print("{}", not_compared(recorded, gradients));
    const auto beyond =
        std::count_if(v.tensors.begin(), v.tensors.end(), [](const Verdict& t) { return !t.ok(); });
    if (v.ok())
        fmt::print("verified: all {} tensors within tolerance\n", v.tensors.size());
    else
        fmt::print("NOT verified: {} of {} tensors beyond tolerance{}{}\n", beyond,
                   v.tensors.size(), v.tokens_ok ? "" : ", greedy tokens differ",
                   o.dtype == "f32" ? ". --dtype f64 tells rounding from another model" : "");
}

// JSON has no infinity.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json place_json(const Deviation& d) { return Json::parse(coordinate(d.shape, d.at)); }

void print_json(const VerifyOptions& o, const Verification& v, const Recorded& recorded,
                const RecordedGradients* gradients, const Device& device) {
    Json out;
    out["verified"] = v.ok();
    out["model"] = o.model;
    out["expected"] = o.expected;
    out["device"] = device.name();
    out["dtype"] = o.dtype;
    out["sequences"] = recorded.sequences;
    out["tokens"] = recorded.length;
    out["tensors"] = Json::array();
    for (const Verdict& t : v.tensors) {
        const Deviation& d = t.deviation;
        Json item;
        item["tensor"] = d.tensor;
        item["ok"] = t.ok();
        item["error"] = number(t.error);
        item["allowed"] = t.allowed;
        if (t.plain) item["plain_error"] = number(*t.plain);
        if (t.f32) item["f32_error"] = number(*t.f32);
        item["at"] = place_json(d);
        item["computed"] = number(d.computed);
        item["recorded"] = d.recorded;
        item["largest_recorded"] = d.largest;
        item["values"] = d.count;
        item["form"] = d.form;
        out["tensors"].push_back(item);
    }
    out["greedy"]["ok"] = v.tokens_ok;
    out["greedy"]["tokens"] = recorded.sequences * recorded.steps;
    if (v.draws > 0) out["plain_draws"] = v.draws;
    if (v.plain_other_tokens) out["greedy"]["plain_other"] = *v.plain_other_tokens;
    out["greedy"]["other"] = Json::array();
    for (const Reproduction::Token& t : v.other_tokens)
        out["greedy"]["other"].push_back({{"at", {t.row, t.step}},
                                          {"computed", t.computed},
                                          {"recorded", t.recorded},
                                          {"gap", t.gap}});
    out["loss_counts_padding"] = v.loss_counts_padding;
    out["not_compared"] = recorded.unknown;
    if (gradients)
        for (const std::string& name : gradients->unknown) out["not_compared"].push_back(name);
    fmt::print("{}\n", out.dump());
}

int run_verify(const VerifyOptions& o) {
    const Model model(load_model_config(o.model));
    const Recorded recorded(o.expected, model.config());
    std::optional<RecordedGradients> gradients;
    if (!o.gradients.empty()) gradients.emplace(o.gradients, model.params());
    const RecordedGradients* recorded_gradients = gradients ? &*gradients : nullptr;
    const auto device = make_device(o.device, o.threads);
    const Verification v =
        verify(o.model, model, *device, {dtype_from_name(o.dtype), o.chunk, nullptr, std::nullopt},
               recorded, recorded_gradients);
    if (o.json)
        print_json(o, v, recorded, recorded_gradients, *device);
    else
        print_text(o, v, recorded, recorded_gradients, *device);
    return v.ok() ? kOk : kFailed;
}

} // namespace

void add_verify_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand(
        "verify", "Compare a checkpoint with outputs that a reference implementation recorded");
    const auto o = std::make_shared<VerifyOptions>();
    command->add_option("--model", o->model, "Directory with config.json and model.safetensors")
        ->required();
    command
        ->add_option("--expected", o->expected,
                     "Recorded outputs: input_ids [B,T], prefill_logits [B,T,V], "
                     "prefill_state.<layer> [B,H,D,E], greedy_ids [B,G], decode_logits [B,G,V], "
                     "train_loss [1], and attention_mask [B,T] where there is padding")
        ->required();
    command->add_option("--gradients", o->gradients,
                        "Recorded gradients of train_loss, under the parameters' names");
    command->add_option("--device", o->device, "cpu, cuda, cuda:N or auto");
    command->add_option("--dtype", o->dtype, "Of weights and activations: f32, bf16 or f64")
        ->check(CLI::IsMember({"f32", "bf16", "f64"}));
    command->add_option("--chunk", o->chunk, "Tokens of one prefill call")
        ->check(CLI::PositiveNumber);
    command->add_option("--threads", o->threads, "CPU threads; 0: one per core")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--json", o->json, "Print one JSON object");
    command->footer(
        "Every output is computed by all positions at once, as in training, and by prefill in "
        "pieces and the\nrecurrence, as in generation. The error of a tensor is its largest "
        "absolute difference over its largest\nrecorded magnitude; positions that attention_mask "
        "marks 0 are left out. Allowed are\n"
        "  f32, f64  1e-5, gradients 1e-4; greedy tokens as recorded\n"
        "  bf16      twice the error of plain bf16 (the same model in plain loops, every result "
        "rounded to bf16;\n            the worst of up to sixteen ways to round the weights), or "
        "one "
        "step of bf16 (2^-8), where f32\n            holds too. A token may differ where the "
        "recorded logits are nearer to each other than\n            bf16 resolves.\n"
        "Exit code: 0 within tolerance, 1 beyond it or a bad file, 2 wrong usage.");
    on_run(command, [o] { return run_verify(*o); });
}

} // namespace tnl
