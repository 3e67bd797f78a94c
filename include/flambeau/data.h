#pragma once
// Datasets and their batches in C++.

#include "data/dataloader.h"
#include "data/dataset.h"
