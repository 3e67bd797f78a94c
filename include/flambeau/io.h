#pragma once
// Files of tensors in C++.

#include "io/checkpoint.h"
#include "io/safetensors.h"
