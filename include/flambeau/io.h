#pragma once
// Files of tensors in C++.

#include "io/safetensors.h"
