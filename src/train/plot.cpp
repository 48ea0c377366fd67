#include "train/plot.h"

#include "base/check.h"
#include "base/file.h"
#include "train/axis.h"

#include <cairo-svg.h>
#include <cairo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

namespace tnl {
namespace {

struct Color {
    double r, g, b;
};
// Okabe and Ito's, told apart by all eyes; black for an eighth curve.
constexpr std::array<Color, 8> kColors = {{{0.000, 0.447, 0.698},
                                           {0.835, 0.369, 0.000},
                                           {0.000, 0.620, 0.451},
                                           {0.800, 0.475, 0.655},
                                           {0.902, 0.624, 0.000},
                                           {0.337, 0.706, 0.914},
                                           {0.500, 0.400, 0.200},
                                           {0.000, 0.000, 0.000}}};
constexpr Color kInk = {0.15, 0.15, 0.17}, kSoft = {0.42, 0.43, 0.46}, kGrid = {0.90, 0.90, 0.92};
constexpr double kText = 12.5, kTitle = 15;

class Canvas {
  public:
    Canvas(cairo_t* cairo, const std::vector<Curve>& curves, const PlotOptions& options)
        : c_(cairo), curves_(curves), o_(options), x_(x_axis()), y_(y_axis()) {}

    void draw() {
        cairo_set_source_rgb(c_, 1, 1, 1);
        cairo_rectangle(c_, 0, 0, o_.width, o_.height);
        cairo_fill(c_);
        cairo_select_font_face(c_, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
        layout();
        grid();
        cairo_save(c_);
        // A dot on the edge is still a whole dot.
        cairo_rectangle(c_, left_ - 4, top_ - 4, right_ - left_ + 8, bottom_ - top_ + 8);
        cairo_clip(c_);
        for (size_t i = 0; i < curves_.size(); ++i) lines(i);
        for (size_t i = 0; i < curves_.size(); ++i) dots(i);
        cairo_restore(c_);
        frame();
    }

  private:
    // ---- ranges ----
    template <class F> void each_point(F f) const {
        for (const Curve& curve : curves_)
            for (const Points* p : {&curve.train, &curve.held_out})
                for (size_t i = 0; i < p->x.size(); ++i) f(p->x[i] / o_.x_unit, p->y[i]);
    }
    Axis x_axis() const {
        double low = std::numeric_limits<double>::infinity(), high = -low;
        each_point([&](double x, double) {
            if (o_.log_x && x <= 0) return;
            low = std::min(low, x);
            high = std::max(high, x);
        });
        TNL_CHECK(low <= high, "nothing to plot: no value of x is positive, as log wants");
        // Runs begin at nothing.
        return Axis(o_.log_x ? low : std::min(low, 0.0), high, 6, o_.log_x);
    }
    Axis y_axis() const {
        double low = std::numeric_limits<double>::infinity(), high = -low;
        each_point([&](double, double y) {
            if (o_.log_y && y <= 0) return;
            low = std::min(low, y);
            high = std::max(high, y);
        });
        TNL_CHECK(low <= high, "nothing to plot: no value of y is positive, as log wants");
        const double room = o_.log_y ? std::pow(high / low, 0.04) : (high - low) * 0.04;
        if (o_.log_y)
            low /= room, high *= room;
        else
            low = low >= 0 ? std::max(0.0, low - room) : low - room, high += room;
        low = o_.y_min.value_or(low);
        high = o_.y_max.value_or(high);
        if (low >= high)
            throw UsageError(fmt::format("y from {} to {}: wanted the lower end first", low, high));
        return Axis(low, high, 6, o_.log_y);
    }

    // ---- text ----
    double text_width(const std::string& text, double size) {
        cairo_set_font_size(c_, size);
        cairo_text_extents_t extents;
        cairo_text_extents(c_, text.c_str(), &extents);
        return extents.x_advance;
    }
    void ink(const Color& color, double alpha = 1) {
        cairo_set_source_rgba(c_, color.r, color.g, color.b, alpha);
    }
    // align: 0 x is the left end, 0.5 the middle, 1 the right end. y: of the baseline.
    void text(const std::string& words, double x, double y, double align, double size,
              const Color& color) {
        ink(color);
        cairo_move_to(c_, x - align * text_width(words, size), y);
        cairo_show_text(c_, words.c_str());
    }

    // ---- layout ----
    bool has_dots() const {
        return std::any_of(curves_.begin(), curves_.end(),
                           [](const Curve& c) { return !c.held_out.empty(); });
    }
    bool has_lines() const {
        return std::any_of(curves_.begin(), curves_.end(),
                           [](const Curve& c) { return !c.train.empty(); });
    }
    void layout() {
        double labels = 0;
        for (const Tick& tick : y_.ticks())
            labels = std::max(labels, text_width(tick.label, kText));
        left_ = 18 + (o_.y_label.empty() ? 0 : kText + 10) + labels + 10;
        right_ = o_.width - 24;
        bottom_ = o_.height - (o_.x_label.empty() ? 36 : 58);
        double y = 18;
        if (!o_.title.empty()) {
            cairo_select_font_face(c_, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                                   CAIRO_FONT_WEIGHT_BOLD);
            text(o_.title, left_, y + kTitle, 0, kTitle, kInk);
            cairo_select_font_face(c_, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                                   CAIRO_FONT_WEIGHT_NORMAL);
            y += kTitle + 14;
        }
        top_ = legend(y) + 12;
    }
    // A row, or more, of colours and names from y on; returns where it ends.
    double legend(double y) {
        double x = left_;
        const auto place = [&](double wanted) { // the left end of an entry so wide
            if (x > left_ && x + wanted > right_) {
                x = left_;
                y += kText + 8;
            }
            const double at = x;
            x += wanted + 22;
            return at;
        };
        const double middle = kText * 0.62;
        for (size_t i = 0; i < curves_.size(); ++i) {
            const double at = place(28 + text_width(curves_[i].name, kText));
            ink(color(i));
            cairo_set_line_width(c_, 3);
            cairo_set_line_cap(c_, CAIRO_LINE_CAP_ROUND);
            cairo_move_to(c_, at + 1.5, y + middle);
            cairo_line_to(c_, at + 18.5, y + middle);
            cairo_stroke(c_);
            text(curves_[i].name, at + 28, y + kText - 1, 0, kText, kInk);
        }
        if (has_dots() && has_lines()) {
            const double at = place(16 + text_width("held out", kText));
            dot(at + 5, y + middle, kSoft);
            text("held out", at + 16, y + kText - 1, 0, kText, kInk);
        }
        return y + kText + 4;
    }

    // ---- marks ----
    const Color& color(size_t i) const { return kColors[i % kColors.size()]; }
    double px(double x) const { return left_ + x_.position(x / o_.x_unit) * (right_ - left_); }
    double py(double y) const {
        // What lies far outside is still on the page for SVG viewers.
        return bottom_ - std::clamp(y_.position(y), -2.0, 3.0) * (bottom_ - top_);
    }
    static double crisp(double v) { return std::floor(v) + 0.5; }

    void grid() {
        cairo_set_line_cap(c_, CAIRO_LINE_CAP_BUTT);
        cairo_set_line_width(c_, 1);
        ink(kGrid);
        for (const Tick& tick : y_.ticks()) {
            if (tick.label.empty()) continue;
            const double y = crisp(bottom_ - y_.position(tick.value) * (bottom_ - top_));
            cairo_move_to(c_, left_, y);
            cairo_line_to(c_, right_, y);
        }
        cairo_stroke(c_);
    }
    void path(const std::vector<double>& x, const std::vector<double>& y) {
        cairo_new_path(c_);
        for (size_t i = 0; i < x.size(); ++i)
            if (usable(x[i], y[i])) cairo_line_to(c_, px(x[i]), py(y[i]));
    }
    bool usable(double x, double y) const { return (!o_.log_x || x > 0) && (!o_.log_y || y > 0); }

    void lines(size_t i) {
        const Points& p = curves_[i].train.empty() ? curves_[i].held_out : curves_[i].train;
        const double width = o_.smooth < 0 ? static_cast<double>(p.y.size()) / 60.0 : o_.smooth;
        const bool smooth = width >= 0.5 && !curves_[i].train.empty();
        cairo_set_line_join(c_, CAIRO_LINE_JOIN_ROUND);
        cairo_set_line_cap(c_, CAIRO_LINE_CAP_ROUND);
        if (smooth) {
            path(p.x, p.y);
            ink(color(i), 0.22);
            cairo_set_line_width(c_, 1);
            cairo_stroke(c_);
        }
        path(p.x, smooth ? smoothed(p.y, width) : p.y);
        ink(color(i));
        cairo_set_line_width(c_, 2.1);
        cairo_stroke(c_);
    }
    void dots(size_t i) {
        const Points& p = curves_[i].held_out;
        for (size_t k = 0; k < p.x.size(); ++k)
            if (usable(p.x[k], p.y[k])) dot(px(p.x[k]), py(p.y[k]), color(i));
    }
    void dot(double x, double y, const Color& fill) {
        cairo_arc(c_, x, y, 4, 0, 2 * M_PI);
        cairo_set_source_rgb(c_, 1, 1, 1);
        cairo_set_line_width(c_, 2);
        cairo_stroke_preserve(c_); // a white rim, to stand off the line
        ink(fill);
        cairo_fill(c_);
    }

    void frame() {
        ink(kInk);
        cairo_set_line_width(c_, 1);
        cairo_set_line_cap(c_, CAIRO_LINE_CAP_SQUARE);
        cairo_move_to(c_, crisp(left_), crisp(bottom_));
        cairo_line_to(c_, right_, crisp(bottom_));
        for (const Tick& tick : x_.ticks()) {
            const double x = crisp(left_ + x_.position(tick.value) * (right_ - left_));
            cairo_move_to(c_, x, crisp(bottom_));
            cairo_line_to(c_, x, crisp(bottom_) + (tick.label.empty() ? 3 : 5));
        }
        cairo_stroke(c_);
        for (const Tick& tick : x_.ticks())
            text(tick.label, left_ + x_.position(tick.value) * (right_ - left_),
                 bottom_ + 8 + kText, 0.5, kText, kSoft);
        for (const Tick& tick : y_.ticks())
            text(tick.label, left_ - 10,
                 bottom_ - y_.position(tick.value) * (bottom_ - top_) + kText * 0.36, 1, kText,
                 kSoft);
        if (!o_.x_label.empty())
            text(o_.x_label, (left_ + right_) / 2, o_.height - 16, 0.5, kText, kInk);
        if (o_.y_label.empty()) return;
        cairo_save(c_);
        cairo_translate(c_, 18 + kText * 0.5, (top_ + bottom_) / 2);
        cairo_rotate(c_, -M_PI / 2);
        text(o_.y_label, 0, kText * 0.3, 0.5, kText, kInk);
        cairo_restore(c_);
    }

    cairo_t* c_;
    const std::vector<Curve>& curves_;
    const PlotOptions& o_;
    Axis x_, y_;
    double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0; // of the area that the axes span
};

cairo_status_t append(void* to, const unsigned char* data, unsigned int size) {
    static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(data), size);
    return CAIRO_STATUS_SUCCESS;
}

void check(cairo_status_t status, const std::filesystem::path& path) {
    if (status != CAIRO_STATUS_SUCCESS)
        fail("{}: cannot be drawn: {}", path.string(), cairo_status_to_string(status));
}

} // namespace

void write_plot(const std::filesystem::path& path, const std::vector<Curve>& curves,
                const PlotOptions& options) {
    write_plot(path, {Panel{curves, options}});
}

void write_plot(const std::filesystem::path& path, const std::vector<Panel>& panels) {
    const bool svg = path.extension() == ".svg";
    if (!svg && path.extension() != ".png")
        throw UsageError(fmt::format("{}: wanted a name that ends in .png or .svg", path.string()));
    using Surface = std::unique_ptr<cairo_surface_t, void (*)(cairo_surface_t*)>;
    std::string bytes;
    TNL_CHECK(!panels.empty(), "{}: no panel", path.string());
    const double scale = svg ? 1 : panels.front().options.scale;
    double width = 0, height = 0;
    for (const Panel& panel : panels) {
        width = std::max(width, panel.options.width);
        height += panel.options.height;
    }
    const Surface surface(svg ? cairo_svg_surface_create_for_stream(append, &bytes, width, height)
                              : cairo_image_surface_create(CAIRO_FORMAT_RGB24,
                                                           static_cast<int>(width * scale),
                                                           static_cast<int>(height * scale)),
                          cairo_surface_destroy);
    {
        const std::unique_ptr<cairo_t, void (*)(cairo_t*)> cairo(cairo_create(surface.get()),
                                                                 cairo_destroy);
        cairo_scale(cairo.get(), scale, scale);
        for (const Panel& panel : panels) {
            Canvas(cairo.get(), panel.curves, panel.options).draw();
            cairo_translate(cairo.get(), 0, panel.options.height);
        }
        check(cairo_status(cairo.get()), path);
    }
    if (!svg) check(cairo_surface_write_to_png_stream(surface.get(), append, &bytes), path);
    cairo_surface_finish(surface.get());
    check(cairo_surface_status(surface.get()), path);
    write_file_atomic(path, bytes);
}

} // namespace tnl
