#pragma once
// The C++ API: one header for programs.

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "base/error.h"
#include "base/version.h"
#include "flambeau/compile.h"
#include "flambeau/functions.h"
#include "nn/functional/indexing.h"
#include "tensor/print.h"
#include "tensor/tensor.h"
