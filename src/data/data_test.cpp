#include "base/check.h"
#include "base/rng.h"
#include "data/loader.h"
#include "data/shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

namespace tnl {
namespace {

class Data : public ::testing::Test {
  protected:
    void SetUp() override {
        folder = std::filesystem::path(::testing::TempDir()) /
                 (std::string("data_") +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    // Documents of 1..40 random tokens ending in 2; their tokens, one after the other.
    std::vector<int32_t> write(const std::string& name, int64_t documents, uint64_t seed,
                               int64_t vocab = 1000) {
        ShardWriter writer(folder / name, vocab, 99);
        const Philox random{seed, 0};
        std::vector<int32_t> all;
        uint64_t n = 0;
        for (int64_t d = 0; d < documents; ++d) {
            std::vector<int32_t> tokens;
            for (uint64_t i = random.below(n++, 40); i > 0; --i)
                tokens.push_back(
                    static_cast<int32_t>(3 + random.below(n++, static_cast<uint64_t>(vocab - 3))));
            tokens.push_back(2);
            writer.add(tokens, static_cast<int64_t>(tokens.size()) * 4);
            all.insert(all.end(), tokens.begin(), tokens.end());
        }
        writer.commit();
        return all;
    }
    std::filesystem::path folder;
};

std::vector<int32_t> tokens_of(const ShardSet& set) {
    std::vector<int32_t> out(static_cast<size_t>(set.tokens()));
    set.read(0, set.tokens(), out.data());
    return out;
}

TEST_F(Data, ShardsReadBackWhatWasWritten) {
    for (int64_t vocab : {1000, 65536, 65537, 1000000}) {
        const auto a = write("shard-00000.tnl", 50, 1, vocab);
        const auto b = write("shard-00001.tnl", 70, 2, vocab);
        const ShardSet set(folder);
        auto all = a;
        all.insert(all.end(), b.begin(), b.end());
        EXPECT_EQ(tokens_of(set), all);
        EXPECT_EQ(set.documents(), 120);
        EXPECT_EQ(set.text_bytes(), static_cast<int64_t>(all.size()) * 4);
        EXPECT_EQ(set.vocab_size(), vocab);
        // Every window's boundaries against a scan for the token that ends a document.
        for (int64_t begin = 0; begin < set.tokens(); begin += 37) {
            const int64_t end = std::min(set.tokens(), begin + 101);
            std::vector<int32_t> got, want;
            set.boundaries(begin, end, got);
            for (int64_t t = begin + 1; t < end; ++t)
                if (all[static_cast<size_t>(t - 1)] == 2)
                    want.push_back(static_cast<int32_t>(t - begin));
            ASSERT_EQ(got, want) << begin;
        }
    }
}

// Documents with a mask and without, and shards of either kind.
TEST_F(Data, MasksSayWhatIsLearned) {
    const Philox random{4, 4};
    std::vector<int32_t> tokens;
    std::vector<uint8_t> learned;
    int64_t bytes = 0;
    for (int shard = 0; shard < 3; ++shard) {
        ShardWriter writer(folder / fmt::format("shard-0000{}.tnl", shard), 1000, 99);
        for (uint64_t d = 0; d < 30; ++d) {
            std::vector<int32_t> document(1 + random.below(tokens.size(), 20), 7);
            document.back() = 2;
            std::vector<uint8_t> mask;
            for (size_t i = 0; i < document.size(); ++i)
                mask.push_back(random.below(tokens.size() + i, 3) == 0);
            if (shard == 1 || d % 3 == 1) {
                writer.add(document, 10);
                mask.assign(document.size(), 1);
                bytes += 10;
            } else {
                writer.add(document, mask, 10, 4);
                bytes += 4;
            }
            tokens.insert(tokens.end(), document.begin(), document.end());
            learned.insert(learned.end(), mask.begin(), mask.end());
        }
        writer.commit();
    }
    EXPECT_EQ(Shard(folder / "shard-00001.tnl").header().version, 1u);
    EXPECT_TRUE(Shard(folder / "shard-00002.tnl").masked());
    const ShardSet set(folder);
    EXPECT_EQ(tokens_of(set), tokens);
    EXPECT_EQ(set.learned_bytes(), bytes);
    EXPECT_EQ(set.learned_tokens(), std::count(learned.begin(), learned.end(), 1));
    Loader loader(set, {.row_tokens = 16}, {.seed = 3, .epoch = 0, .cursor = 0});
    TokenRows rows;
    for (int64_t i = 0; i < loader.rows_per_epoch(); ++i) {
        const auto begin = static_cast<size_t>(loader.row_begin(0, i));
        loader.next(1, rows);
        int64_t counted = 0;
        for (size_t t = 0; t < 16; ++t) {
            const bool counts = learned[begin + t + 1] && tokens[begin + t] != 2;
            ASSERT_EQ(rows.targets[t], counts ? tokens[begin + t + 1] : -1) << begin + t;
            counted += counts;
        }
        ASSERT_EQ(rows.counted, counted);
    }
}

TEST_F(Data, AnyChangedByteIsFound) {
    ShardWriter writer(folder / "a.tnl", 1000, 99);
    for (int32_t d = 0; d < 20; ++d)
        writer.add(std::vector<int32_t>{3, d, 5, 2}, std::vector<uint8_t>{0, 0, 1, 1}, 4, 2);
    writer.commit();
    const std::string good = read_file(folder / "a.tnl");
    int found = 0;
    for (size_t at = 0; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x11);
        std::ofstream(folder / "bad.tnl", std::ios::binary) << bad;
        try {
            const Shard shard(folder / "bad.tnl");
            ADD_FAILURE() << "byte " << at << " changed, and nothing noticed";
        } catch (const Error& e) {
            ASSERT_NE(std::string(e.what()).find("bad.tnl"), std::string::npos) << e.what();
            ++found;
        }
    }
    EXPECT_EQ(found, static_cast<int>(good.size()));
    for (size_t size = 0; size < good.size(); size += 7) {
        std::ofstream(folder / "bad.tnl", std::ios::binary) << good.substr(0, size);
        EXPECT_THROW(Shard(folder / "bad.tnl"), Error) << size;
        EXPECT_THROW(Shard(folder / "bad.tnl", Check::header), Error) << size;
    }
    std::ofstream(folder / "bad.tnl", std::ios::binary) << good << "more";
    EXPECT_THROW(Shard(folder / "bad.tnl"), Error);
}

TEST_F(Data, BadInputIsRefused) {
    EXPECT_THROW(ShardSet{folder}, Error); // an empty directory
    EXPECT_THROW(ShardSet{folder / "missing"}, Error);
    write("shard-00000.tnl", 5, 1, 1000);
    {
        ShardWriter other(folder / "shard-00001.tnl", 1000, 100); // another tokenizer
        other.add(std::vector<int32_t>{5, 2}, 1);
        EXPECT_THROW(other.add(std::vector<int32_t>{1000}, 1), Error);
        EXPECT_THROW(other.add(std::vector<int32_t>{-1}, 1), Error);
        other.commit();
    }
    EXPECT_THROW(ShardSet{folder}, Error);
    ShardWriter empty(folder / "empty.tnl", 10, 1);
    empty.commit();
    EXPECT_THROW(ShardSet{folder / "empty.tnl"}, Error);
}

TEST_F(Data, PermutationsAreBijectionsAndDiffer) {
    for (int64_t n : {1, 2, 3, 5, 16, 17, 100, 1023, 4097}) {
        std::map<std::vector<int64_t>, int> orders;
        for (uint64_t key = 0; key < 3; ++key) {
            std::vector<int64_t> order;
            for (int64_t i = 0; i < n; ++i) order.push_back(permute(i, n, key));
            EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), order.size());
            EXPECT_LT(*std::max_element(order.begin(), order.end()), n);
            ++orders[order];
        }
        if (n >= 16) {
            EXPECT_EQ(orders.size(), 3u) << n;
        }
    }
}

TEST_F(Data, RowsHoldTheTextAndTheNextTokens) {
    const auto all = write("shard-00000.tnl", 200, 4);
    const ShardSet set(folder);
    Loader loader(set, {.row_tokens = 32, .shuffle = true, .reset_at_documents = true},
                  {.seed = 9, .epoch = 0, .cursor = 0});
    TokenRows rows;
    std::set<int64_t> seen;
    for (int64_t i = 0; i < loader.rows_per_epoch(); ++i) {
        const int64_t begin = loader.row_begin(0, i);
        EXPECT_TRUE(seen.insert(begin).second);
        loader.next(1, rows);
        ASSERT_EQ(rows.ids.size(), 32u);
        ASSERT_EQ(rows.cu_seqlens.front(), 0);
        ASSERT_EQ(rows.cu_seqlens.back(), 32);
        int64_t counted = 0;
        int32_t position = 0;
        for (int64_t t = 0; t < 32; ++t) {
            const auto at = static_cast<size_t>(t);
            const size_t source = static_cast<size_t>(begin + t);
            ASSERT_EQ(rows.ids[at], all[source]);
            const bool ends = all[source] == 2;
            ASSERT_EQ(rows.targets[at], ends ? -1 : all[source + 1]);
            counted += !ends;
            ASSERT_EQ(rows.positions[at], position);
            position = ends ? 0 : position + 1;
            const bool cut = std::find(rows.cu_seqlens.begin(), rows.cu_seqlens.end(),
                                       static_cast<int32_t>(t + 1)) != rows.cu_seqlens.end();
            ASSERT_EQ(cut, ends || t == 31);
        }
        ASSERT_EQ(rows.counted, counted);
    }
}

TEST_F(Data, TheOrderDependsOnSeedEpochAndPositionOnly) {
    write("shard-00000.tnl", 300, 5);
    const ShardSet set(folder);
    const LoaderOptions options{.row_tokens = 16, .shuffle = true, .reset_at_documents = false};
    auto read = [&](LoaderState state, const std::vector<int64_t>& batches) {
        Loader loader(set, options, state);
        std::vector<int32_t> out;
        TokenRows rows;
        for (int64_t b : batches) {
            loader.next(b, rows);
            out.insert(out.end(), rows.ids.begin(), rows.ids.end());
        }
        return std::pair(out, loader.state());
    };
    const auto [whole, end] = read({7, 0, 0}, {12});
    const auto [parts, same] = read({7, 0, 0}, {1, 5, 2, 4});
    EXPECT_EQ(whole, parts);
    EXPECT_EQ(end, same);
    const auto [first, middle] = read({7, 0, 0}, {5});
    const auto [second, last] = read(middle, {7});
    auto joined = first;
    joined.insert(joined.end(), second.begin(), second.end());
    EXPECT_EQ(joined, whole);
    EXPECT_EQ(last, end);
    EXPECT_NE(read({8, 0, 0}, {12}).first, whole);
    EXPECT_NE(read({7, 1, 0}, {12}).first, whole);
    // Across an epoch's end.
    const int64_t n = Loader(set, options, {7, 0, 0}).rows_per_epoch();
    const auto over = read({7, 0, n - 2}, {4});
    EXPECT_EQ(over.second, (LoaderState{7, 1, 2}));
}

TEST_F(Data, PiecesOfRowsAreTheRows) {
    write("shard-00000.tnl", 300, 5);
    const ShardSet set(folder);
    const LoaderOptions whole{.row_tokens = 24, .shuffle = true, .reset_at_documents = false};
    LoaderOptions cut = whole;
    cut.pieces = 3;
    const int64_t n = Loader(set, whole, {7, 0, 0}).rows_per_epoch();
    for (const int64_t cursor : {int64_t{0}, n - 1}) { // the latter crosses into the next epoch
        Loader rows(set, whole, {7, 0, cursor});
        LoaderState state{7, 0, cursor};
        TokenRows row, piece;
        rows.next(2, row);
        for (int64_t p = 0; p < 3; ++p) {
            Loader pieces(set, cut, state); // as if begun anew at every piece
            pieces.next(2, piece);
            state = pieces.state();
            EXPECT_EQ(piece.piece, p);
            EXPECT_EQ(piece.cu_seqlens, (std::vector<int32_t>{0, 8, 16}));
            for (size_t r = 0; r < 2; ++r)
                for (size_t t = 0; t < 8; ++t) {
                    const size_t at = r * 8 + t, in_row = r * 24 + static_cast<size_t>(p) * 8 + t;
                    ASSERT_EQ(piece.ids[at], row.ids[in_row]);
                    ASSERT_EQ(piece.targets[at], row.targets[in_row]);
                    ASSERT_EQ(piece.positions[at], row.positions[in_row]);
                }
        }
        EXPECT_EQ(state, rows.state());
    }
    cut.pieces = 5;
    EXPECT_THROW(Loader(set, cut, {}), Error);
    cut.pieces = 3;
    EXPECT_THROW(Loader(set, cut, {.seed = 7, .epoch = 0, .cursor = 0, .piece = 3}), Error);
}

// Sequences that end with documents, in pieces: the documents of whole rows, and slots that hand
// each one's state on, checked by walking them with a state that counts tokens.
TEST_F(Data, PiecesOfRowsWithDocumentsAreTheRows) {
    using End = TokenRows::End;
    const auto all = write("shard-00000.tnl", 400, 5);
    const ShardSet set(folder);
    for (const int64_t pieces : {2, 3, 12}) {
        const LoaderOptions whole{.row_tokens = 48, .shuffle = true, .reset_at_documents = true};
        LoaderOptions cut = whole;
        cut.pieces = pieces;
        const int64_t T = 48 / pieces, rows = 3;
        Loader by_row(set, whole, {7, 0, 0});
        LoaderState state{7, 0, 0};
        std::map<End, int> seen;
        for (int batch = 0; batch < 20; ++batch) {
            TokenRows row, piece;
            by_row.next(rows, row);
            std::vector<int32_t> length(2 * rows, 0); // of what the slots have read
            for (int64_t p = 0; p < pieces; ++p) {
                Loader loader(set, cut, state); // as if begun anew at every piece
                loader.next(rows, piece);
                state = loader.state();
                ASSERT_EQ(piece.slots.size() + 1, piece.cu_seqlens.size());
                for (size_t s = 0; s < piece.slots.size(); ++s) {
                    const int32_t slot = piece.slots[s];
                    const bool held = slot >= 0 && p > 0;
                    int32_t read = held ? length[static_cast<size_t>(slot)] : 0;
                    for (int32_t i = piece.cu_seqlens[s]; i < piece.cu_seqlens[s + 1]; ++i) {
                        ASSERT_EQ(piece.positions[static_cast<size_t>(i)], read++);
                        const auto at = static_cast<size_t>(i / T * 48 + p * T + i % T);
                        ASSERT_EQ(piece.ids[static_cast<size_t>(i)], row.ids[at]);
                        ASSERT_EQ(piece.targets[static_cast<size_t>(i)], row.targets[at]);
                        ASSERT_EQ(piece.positions[static_cast<size_t>(i)], row.positions[at]);
                    }
                    if (slot >= 0) length[static_cast<size_t>(slot)] = read;
                }
                for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
                    ++seen[piece.ends[r]];
                    if (piece.ends[r] == End::moves) length[r] = length[r + rows];
                    if (piece.ends[r] == End::stops) length[r] = 0;
                    length[r + rows] = 0;
                }
                if (p + 1 == pieces) {
                    EXPECT_EQ(piece.ends, std::vector<End>(rows, End::stops));
                }
            }
        }
        EXPECT_GT(seen[End::stays], 10);
        EXPECT_GE(seen[End::stops], 60);
        if (pieces > 2) {
            EXPECT_GT(seen[End::moves], 10);
        }
        EXPECT_EQ(state, by_row.state());
    }
}

TEST_F(Data, ACorpusTooShortIsRefused) {
    ShardWriter writer(folder / "shard-00000.tnl", 10, 1);
    writer.add(std::vector<int32_t>{3, 4, 5, 2}, 3);
    writer.commit();
    const ShardSet set(folder);
    EXPECT_THROW(Loader(set, {.row_tokens = 4}, {}), Error);
    EXPECT_NO_THROW(Loader(set, {.row_tokens = 3}, {}));
    EXPECT_THROW(Loader(set, {.row_tokens = 3}, {.seed = 0, .epoch = 0, .cursor = 5}), Error);
}

} // namespace
} // namespace tnl
