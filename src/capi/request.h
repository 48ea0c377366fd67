// A call through the C interface, checked in its own words and turned into the operator's.
#pragma once

#include "ops/lightning/lightning.h"

#include <transnormer/lightning_c.h>

namespace tnl::capi {

// A whole tnl_lightning, whatever the size of the caller's.
tnl_lightning complete(const tnl_lightning* call);

// Sizes and dtype; throws naming the field.
LightningShape shape_of(const tnl_lightning& call);
LightningForward forward_of(const tnl_lightning& call);
LightningBackward backward_of(const tnl_lightning& call);

} // namespace tnl::capi
