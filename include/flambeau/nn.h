#pragma once
// Networks in C++.

#include "nn/clip_grad.h"
#include "nn/functional/functional.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/module.h"
#include "nn/state.h"
#include "nn/transformer.h"
