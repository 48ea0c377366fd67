#include "train/plot.h"

#include "train/axis.h"
#include "train/testbed.h"

#include <gmock/gmock.h>

#include <cmath>

namespace tnl {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

std::vector<std::string> labels(const Axis& axis) {
    std::vector<std::string> out;
    for (const Tick& tick : axis.ticks())
        if (!tick.label.empty()) out.push_back(tick.label);
    return out;
}

TEST(Axis, TicksAreRound) {
    EXPECT_THAT(labels(Axis(0, 400, 5, false)), ElementsAre("0", "100", "200", "300", "400"));
    EXPECT_THAT(labels(Axis(2.31, 4.9, 5, false)), ElementsAre("3", "4"));
    EXPECT_THAT(labels(Axis(0, 3e-3, 3, false)), ElementsAre("0", "0.001", "0.002", "0.003"));
    EXPECT_THAT(labels(Axis(0, 5e6, 5, false)), ElementsAre("0", "1M", "2M", "3M", "4M", "5M"));
    EXPECT_THAT(labels(Axis(0, 2500, 5, false)),
                ElementsAre("0", "500", "1000", "1500", "2000", "2500"));
    EXPECT_THAT(labels(Axis(1, 1000, 6, true)), ElementsAre("1", "10", "100", "1000"));
    EXPECT_THAT(labels(Axis(1e-5, 1e-3, 6, true)),
                ElementsAre("1e-5", "2e-5", "5e-5", "1e-4", "2e-4", "5e-4", "0.001"));
}

TEST(Axis, PositionsRunFromZeroToOne) {
    EXPECT_DOUBLE_EQ(Axis(2, 6, 4, false).position(3), 0.25);
    EXPECT_DOUBLE_EQ(Axis(1, 1e4, 4, true).position(10), 0.25);
    const Axis one(5, 5, 4, false); // a single value lies in the middle
    EXPECT_DOUBLE_EQ(one.position(5), 0.5);
    EXPECT_THROW(Axis(0, 1, 4, true), Error);
    EXPECT_THROW(Axis(0, NAN, 4, false), Error);
}

TEST(Smoothed, KeepsLinesAndCalmsNoise) {
    std::vector<double> line, noise;
    for (int i = 0; i < 200; ++i) {
        line.push_back(3 - 0.01 * i);
        noise.push_back(2 + Philox{1, 2}.normal(static_cast<uint64_t>(i)));
    }
    const auto same = smoothed(line, 5);
    for (size_t i = 0; i < line.size(); ++i) EXPECT_NEAR(same[i], line[i], 1e-12);
    double before = 0, after = 0;
    const auto calm = smoothed(noise, 5);
    for (size_t i = 0; i < noise.size(); ++i) {
        before += std::pow(noise[i] - 2, 2);
        after += std::pow(calm[i] - 2, 2);
    }
    EXPECT_LT(after, 0.12 * before); // a Gaussian of width 5 leaves 1 / (2 sqrt(pi) 5) = 0.056
    EXPECT_EQ(smoothed(noise, 0), noise);
    EXPECT_EQ(smoothed({1.5}, 5), std::vector<double>{1.5});
}

void write_metrics(const std::filesystem::path& run) {
    std::filesystem::create_directories(run);
    write_file_atomic(run / "metrics.jsonl",
                      R"({"step":1,"loss":4.0,"lr":0.1,"tokens":10,"seconds":0.5}
{"step":2,"loss":null,"lr":0.2,"tokens":20,"seconds":1.0}
{"step":2,"eval_loss":3.5,"perplexity":33.1,"tokens":20,"seconds":1.0}
{"step":3,"loss":2.0,"lr":0.3,"tokens":30,"seconds":1.5}
{"step":4,"lo)");
}

TEST(ReadCurve, TakesLossAndHeldOutLoss) {
    TemporaryDirectory directory;
    write_metrics(directory / "alpha");
    const Curve loss = read_curve(directory / "alpha", PlotX::tokens, "loss");
    EXPECT_EQ(loss.name, "alpha");
    EXPECT_THAT(loss.train.x, ElementsAre(10, 30));
    EXPECT_THAT(loss.train.y, ElementsAre(4, 2));
    EXPECT_THAT(loss.held_out.x, ElementsAre(20));
    EXPECT_THAT(loss.held_out.y, ElementsAre(3.5));
    const Curve lr = read_curve(directory / "alpha/metrics.jsonl", PlotX::time, "lr");
    EXPECT_EQ(lr.name, "alpha");
    EXPECT_THAT(lr.train.x, ElementsAre(0.5, 1.0, 1.5));
    EXPECT_TRUE(lr.held_out.empty());
    const Curve perplexity = read_curve(directory / "alpha", PlotX::steps, "perplexity");
    EXPECT_THAT(perplexity.held_out.y, ElementsAre(33.1));
    EXPECT_THAT(error_of([&] { read_curve(directory / "alpha", PlotX::steps, "los"); }),
                HasSubstr("nearest is \"loss\""));
    EXPECT_THAT(error_of([&] { read_curve(directory / "beta", PlotX::steps, "loss"); }),
                HasSubstr("beta"));
}

TEST(WritePlot, WritesWhatItsNameSays) {
    TemporaryDirectory directory;
    write_metrics(directory / "alpha");
    const std::vector<Curve> curves = {read_curve(directory / "alpha", PlotX::steps, "loss")};
    PlotOptions options;
    options.title = "A title";
    options.width = 400;
    options.height = 300;
    write_plot(directory / "a.png", curves, options);
    const std::string png = read_file(directory / "a.png");
    ASSERT_GT(png.size(), 1000u);
    EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
    EXPECT_EQ(png.substr(16, 8), std::string("\0\0\x03\x20\0\0\x02\x58", 8)); // 800 x 600
    write_plot(directory / "two.png", {{curves, options}, {curves, options}});
    const std::string two = read_file(directory / "two.png");
    EXPECT_EQ(two.substr(16, 8), std::string("\0\0\x03\x20\0\0\x04\xb0", 8)); // 800 x 1200
    options.log_x = options.log_y = true;
    write_plot(directory / "a.svg", curves, options);
    const std::string svg = read_file(directory / "a.svg");
    EXPECT_THAT(svg, HasSubstr("<svg"));
    EXPECT_TRUE(svg.ends_with("</svg>\n")) << svg.substr(svg.size() - 20);
    EXPECT_THROW(write_plot(directory / "a.gif", curves, options), UsageError);
    EXPECT_FALSE(std::filesystem::exists(directory / "a.gif"));
}

} // namespace
} // namespace tnl
