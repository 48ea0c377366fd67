// Prints what a model of a preset would weigh, through the installed headers and libraries.
#include "model/config.h"

#include <cstdio>

int main() {
    for (const std::string& name : tnl::model_preset_names()) {
        const tnl::ModelConfig config = tnl::model_preset(name);
        std::printf("%-8s %15lld parameters, %12lld bytes of state a sequence\n", name.c_str(),
                    static_cast<long long>(config.parameter_count()),
                    static_cast<long long>(config.state_bytes()));
    }
}
