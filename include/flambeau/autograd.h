#pragma once
// Functions with a backward of their own.

#include "autograd/function_template.h"
