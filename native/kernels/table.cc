// The table of all kernels.
//
// A file of kernels ends with a list of them; here the lists are named.
#include <cstring>

#include "kernels/kernel.h"

namespace anima::kernels {

// Each ends with an entry without a name.
extern const Kernel kConvolutionKernels[];
extern const Kernel kDepthwiseKernels[];
extern const Kernel kFftKernels[];
extern const Kernel kFilterKernels[];
extern const Kernel kKeepKernels[];
extern const Kernel kMatrixProductKernels[];
extern const Kernel kPoolKernels[];
extern const Kernel kProductKernels[];
extern const Kernel kScanKernels[];
extern const Kernel kScatterKernels[];
extern const Kernel kShuffleKernels[];
extern const Kernel kSoftmaxKernels[];
extern const Kernel kSortKernels[];
extern const Kernel kSumKernels[];
extern const Kernel kTopKernels[];
extern const Kernel kTransposeKernels[];
extern const Kernel kUpdateKernels[];
extern const Kernel kWeightKernels[];
extern const Kernel kCholeskyKernels[];
extern const Kernel kTriangularKernels[];
extern const Kernel kEigenKernels[];
extern const Kernel kSchurKernels[];
extern const Kernel kSvdKernels[];
extern const Kernel kMatrixFunctionKernels[];
extern const Kernel kTridiagonalSolveKernels[];
extern const Kernel kHouseholderKernels[];
extern const Kernel kLuKernels[];

namespace {

constexpr const Kernel* kLists[] = {kConvolutionKernels,
                                    kDepthwiseKernels,
                                    kFftKernels,
                                    kFilterKernels,
                                    kKeepKernels,
                                    kMatrixProductKernels,
                                    kPoolKernels,
                                    kProductKernels,
                                    kScanKernels,
                                    kScatterKernels,
                                    kShuffleKernels,
                                    kSoftmaxKernels,
                                    kSortKernels,
                                    kSumKernels,
                                    kTopKernels,
                                    kTransposeKernels,
                                    kUpdateKernels,
                                    kWeightKernels,
                                    kCholeskyKernels,
                                    kTriangularKernels,
                                    kEigenKernels,
                                    kSchurKernels,
                                    kSvdKernels,
                                    kMatrixFunctionKernels,
                                    kTridiagonalSolveKernels,
                                    kHouseholderKernels,
                                    kLuKernels};

}  // namespace

const Kernel* find_kernel(const std::string& name) {
  for (const Kernel* list : kLists) {
    for (const Kernel* kernel = list; kernel->name != nullptr; ++kernel) {
      if (name == kernel->name) return kernel;
    }
  }
  return nullptr;
}

}  // namespace anima::kernels
