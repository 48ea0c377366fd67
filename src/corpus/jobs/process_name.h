// A name for this process that no other has, now or later, on any machine; and whether the process
// of a name is gone.
#pragma once

#include <string>
#include <string_view>

namespace tnl::corpus {

// host.namespace.pid.start: the host's name, the namespace of process numbers (containers), the
// process number and the time it was started.
const std::string& process_name();

// True only where that can be known: of processes on this machine.
bool is_gone(std::string_view name);

} // namespace tnl::corpus
