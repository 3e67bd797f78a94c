#pragma once
// Optimisers and schedules in C++.

#include "optim/lr_scheduler.h"
#include "optim/optimizer.h"
