#include "infer/evaluator.h"

#include "model/testbed.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tnl {
namespace {

using testing::HostBatch;
using testing::ModelBed;

ModelConfig evaluator_config() {
    ModelConfig c;
    c.vocab_size = 61;
    c.decoder_embed_dim = c.hidden_dim = 24;
    c.decoder_layers = 3;
    c.decoder_attention_heads = 3;
    c.glu_dim = 40;
    c.init_std = 0.2;
    return c;
}

std::vector<std::vector<int32_t>> documents() {
    std::vector<std::vector<int32_t>> out;
    for (const uint64_t n : {30u, 1u, 2u, 200u, 0u, 65u, 3u, 129u, 17u, 64u}) {
        out.emplace_back();
        for (uint64_t i = 0; i < n; ++i)
            out.back().push_back(static_cast<int32_t>(Philox{n, 8}.below(i, 61)));
    }
    return out;
}

// -ln p of every token but the first, from the logits of the whole document at once.
DocumentLoss by_hand(ModelBed& bed, const std::vector<int32_t>& tokens) {
    DocumentLoss out;
    if (tokens.size() < 2) return out;
    HostBatch batch;
    batch.ids = tokens;
    for (size_t i = 0; i < tokens.size(); ++i) batch.positions.push_back(static_cast<int32_t>(i));
    const auto logits = bed.logits(batch);
    for (size_t t = 0; t + 1 < tokens.size(); ++t) {
        double sum = 0;
        for (size_t v = 0; v < 61; ++v) sum += std::exp(logits[t * 61 + v]);
        out.nats += std::log(sum) - logits[t * 61 + static_cast<size_t>(tokens[t + 1])];
        ++out.tokens;
    }
    return out;
}

// A document is read as a whole or not at all.
TEST(Evaluator, LlamaWantsCallsAsLongAsDocuments) {
    ModelConfig config = evaluator_config();
    config.model_type = "llama";
    ModelBed bed(config, DType::f32, cpu_kernels(), 2);
    const auto docs = documents();
    for (const int64_t chunk : {199, 257, 1000})
        for (const int64_t sequences : {1, 3, 16}) {
            Evaluator evaluator(bed.model, *bed.device, bed.weights,
                                {DType::f32, chunk, sequences, 40});
            const auto got = evaluator.losses(docs);
            for (size_t i = 0; i < docs.size(); ++i) {
                const DocumentLoss want = by_hand(bed, docs[i]);
                EXPECT_EQ(got[i].tokens, want.tokens);
                EXPECT_NEAR(got[i].nats, want.nats, 3e-6 * (1 + want.nats)) << "document " << i;
            }
        }
    Evaluator evaluator(bed.model, *bed.device, bed.weights, {DType::f32, 198, 16, 40});
    try {
        evaluator.losses(docs);
        FAIL();
    } catch (const Error& error) {
        for (const char* part :
             {"document 3 has 199 tokens", "a call takes 198", "model_type llama"})
            EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
}

TEST(Evaluator, CallsOfAnySizeGiveTheWholeDocumentsLoss) {
    for (const auto& [dtype, tolerance] : {std::pair(DType::f64, 1e-12), {DType::f32, 3e-6}}) {
        ModelBed bed(evaluator_config(), dtype, cpu_kernels(), 2);
        const auto docs = documents();
        for (const int64_t chunk : {1, 7, 64, 100, 1000})
            for (const int64_t sequences : {1, 3, 16}) {
                Evaluator evaluator(bed.model, *bed.device, bed.weights,
                                    {dtype, chunk, sequences, 40});
                const auto got = evaluator.losses(docs);
                ASSERT_EQ(got.size(), docs.size());
                for (size_t i = 0; i < docs.size(); ++i) {
                    const DocumentLoss want = by_hand(bed, docs[i]);
                    EXPECT_EQ(got[i].tokens, want.tokens);
                    EXPECT_NEAR(got[i].nats, want.nats, tolerance * (1 + want.nats))
                        << "document " << i << " chunk " << chunk << " sequences " << sequences;
                }
            }
    }
}

TEST(Evaluator, CountsOnlyTheTokensAskedFor) {
    ModelBed bed(evaluator_config(), DType::f64, cpu_kernels(), 2);
    const auto docs = documents();
    std::vector<std::vector<uint8_t>> some, others;
    for (const auto& doc : docs) {
        some.emplace_back();
        others.emplace_back();
        for (size_t i = 0; i < doc.size() && docs.size() > some.size(); ++i) {
            some.back().push_back(i % 3 == 0);
            others.back().push_back(i % 3 != 0);
        }
    }
    Evaluator evaluator(bed.model, *bed.device, bed.weights, {DType::f64, 50, 3, 40});
    const auto all = evaluator.losses(docs), a = evaluator.losses(docs, some),
               b = evaluator.losses(docs, others);
    for (size_t i = 0; i + 1 < docs.size(); ++i) {
        EXPECT_EQ(a[i].tokens, docs[i].empty() ? 0 : (std::ssize(docs[i]) - 1) / 3) << i;
        EXPECT_EQ(a[i].tokens + b[i].tokens, all[i].tokens) << i;
        EXPECT_NEAR(a[i].nats + b[i].nats, all[i].nats, 1e-9) << i;
    }
    EXPECT_EQ(a.back(), all.back()) << "no flags: all count";
    some[0].pop_back();
    EXPECT_THROW(evaluator.losses(docs, some), Error);
}

TEST(Evaluator, RefusesForeignTokens) {
    ModelBed bed(evaluator_config(), DType::f32, cpu_kernels());
    Evaluator evaluator(bed.model, *bed.device, bed.weights, {});
    const std::vector<std::vector<int32_t>> docs{{1, 2, 61}};
    EXPECT_THROW(evaluator.losses(docs), Error);
    EXPECT_TRUE(evaluator.losses({}).empty());
}

} // namespace
} // namespace tnl
