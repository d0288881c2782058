// Transforms of a few numbers in registers.
//
// The odd ones add up pairs x[j] + x[r - j] with cosines and x[j] - x[r - j] with sines (the sum of both is
// result k, the difference result r - k).
#pragma once

#include <utility>

#include "kernels/clones.h"

namespace anima::kernels {

// exp(-2 pi i k / r) for the radices that are no powers of two.
template <int kRadix>
struct Roots;
template <>
struct Roots<3> {
  static constexpr double cosine[] = {1, -0.5};
  static constexpr double sine[] = {0, 0.86602540378443864676};
};
template <>
struct Roots<5> {
  static constexpr double cosine[] = {1, 0.30901699437494742410, -0.80901699437494742410};
  static constexpr double sine[] = {0, 0.95105651629515357212, 0.58778525229247312917};
};
template <>
struct Roots<7> {
  static constexpr double cosine[] = {1, 0.62348980185873353053, -0.22252093395631440429,
                                      -0.90096886790241912624};
  static constexpr double sine[] = {0, 0.78183148246802980871, 0.97492791218182360702,
                                    0.43388373911755812048};
};

template <typename T, typename V, int kRadix>
struct Butterfly {
  ANIMA_INLINE static void run(V* re, V* im) {
    constexpr int kPairs = kRadix / 2;
    V plus_re[kPairs], plus_im[kPairs], minus_re[kPairs], minus_im[kPairs];
    V sum_re = re[0], sum_im = im[0];
#pragma GCC unroll 4
    for (int j = 0; j < kPairs; ++j) {
      plus_re[j] = re[j + 1] + re[kRadix - 1 - j];
      plus_im[j] = im[j + 1] + im[kRadix - 1 - j];
      minus_re[j] = re[j + 1] - re[kRadix - 1 - j];
      minus_im[j] = im[j + 1] - im[kRadix - 1 - j];
      sum_re += plus_re[j];
      sum_im += plus_im[j];
    }
#pragma GCC unroll 4
    for (int k = 1; k <= kPairs; ++k) {
      V even_re = re[0], even_im = im[0], odd_re, odd_im;
#pragma GCC unroll 4
      for (int j = 0; j < kPairs; ++j) {
        const int at = (j + 1) * k % kRadix, place = at <= kPairs ? at : kRadix - at;
        const T cosine = static_cast<T>(Roots<kRadix>::cosine[place]);
        const T root = static_cast<T>(Roots<kRadix>::sine[place]), sine = at <= kPairs ? root : -root;
        even_re += cosine * plus_re[j];
        even_im += cosine * plus_im[j];
        odd_re = j == 0 ? sine * minus_re[j] : odd_re + sine * minus_re[j];
        odd_im = j == 0 ? sine * minus_im[j] : odd_im + sine * minus_im[j];
      }
      re[k] = even_re + odd_im;
      im[k] = even_im - odd_re;
      re[kRadix - k] = even_re - odd_im;
      im[kRadix - k] = even_im + odd_re;
    }
    re[0] = sum_re;
    im[0] = sum_im;
  }
};

template <typename T, typename V>
struct Butterfly<T, V, 1> {
  ANIMA_INLINE static void run(V*, V*) {}
};

template <typename T, typename V>
struct Butterfly<T, V, 2> {
  ANIMA_INLINE static void run(V* re, V* im) {
    const V a = re[0] - re[1], b = im[0] - im[1];
    re[0] += re[1];
    im[0] += im[1];
    re[1] = a;
    im[1] = b;
  }
};

// The elements stand `kStep` apart.
template <int kStep, typename V>
ANIMA_INLINE void butterfly_of_4(V* re, V* im) {
  const V a = re[0] + re[2 * kStep], b = re[0] - re[2 * kStep];
  const V c = re[kStep] + re[3 * kStep], d = re[kStep] - re[3 * kStep];
  const V e = im[0] + im[2 * kStep], f = im[0] - im[2 * kStep];
  const V g = im[kStep] + im[3 * kStep], h = im[kStep] - im[3 * kStep];
  re[0] = a + c, im[0] = e + g;
  re[kStep] = b + h, im[kStep] = f - d;
  re[2 * kStep] = a - c, im[2 * kStep] = e - g;
  re[3 * kStep] = b - h, im[3 * kStep] = f + d;
}

template <typename T, typename V>
struct Butterfly<T, V, 4> {
  ANIMA_INLINE static void run(V* re, V* im) { butterfly_of_4<1>(re, im); }
};

template <typename T, typename V>
struct Butterfly<T, V, 8> {
  ANIMA_INLINE static void run(V* re, V* im) {
    constexpr T kHalfRoot = static_cast<T>(0.70710678118654752440);
    butterfly_of_4<2>(re, im);
    butterfly_of_4<2>(re + 1, im + 1);
    const V a = (re[3] + im[3]) * kHalfRoot, b = (im[3] - re[3]) * kHalfRoot;
    const V c = (im[7] - re[7]) * kHalfRoot, d = (im[7] + re[7]) * -kHalfRoot;
    const V e = im[5], f = -re[5];
    const V odd_re[] = {re[1], a, e, c}, odd_im[] = {im[1], b, f, d};
    const V even_re[] = {re[0], re[2], re[4], re[6]}, even_im[] = {im[0], im[2], im[4], im[6]};
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      re[k] = even_re[k] + odd_re[k];
      im[k] = even_im[k] + odd_im[k];
      re[k + 4] = even_re[k] - odd_re[k];
      im[k + 4] = even_im[k] - odd_im[k];
    }
  }
};

}  // namespace anima::kernels
