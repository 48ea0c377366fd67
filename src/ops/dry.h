// A backend that does nothing. The model runs once on it with measuring arenas (tensors without
// memory), so that every arena's exact size is known, and can be printed, before anything is
// allocated.
#pragma once

#include "ops/kernels.h"

namespace tnl {

// Every entry does nothing, but few_rows_pays and the plans, which are `real`'s, and the
// workspaces: `real`'s for calls in as many sequences as asked about, or fewer.
Kernels dry_kernels(const Kernels& real);

} // namespace tnl
