#pragma once
// Networks in C++.

#include "nn/clip_grad.h"
#include "nn/functional/functional.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/module.h"
