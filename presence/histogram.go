package presence

import "sync/atomic"

// Histogram counts values by their size.
type Histogram struct {
	Bounds []float64 // the upper bound of each bucket, inclusive and ascending; the last bucket has none
	Counts []uint64  // the number of values in each bucket, not cumulative; one longer than Bounds
	Sum    float64   // the sum of all values
}

// Count returns the number of values.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// add adds the values of another histogram with the same bounds.
func (h *Histogram) add(other Histogram) {
	h.Bounds, h.Sum = other.Bounds, h.Sum+other.Sum
	if h.Counts == nil {
		h.Counts = make([]uint64, len(other.Counts))
	}
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
}

// scale defines the buckets of a histogram. Values are counted in small whole units,
// and reported in larger ones.
type scale struct {
	bounds [mostBounds]int64
	unit   float64 // how many counted units are one reported unit
}

const mostBounds = 16

// The two scales. Times are counted in nanoseconds and reported in seconds. The bound
// of 60 ms separates what waited for the default batch window of 50 ms from what
// waited longer.
var (
	times = scale{unit: 1e9, bounds: [...]int64{
		100e3, 250e3, 500e3, 1e6, 2500e3, 5e6, 10e6, 25e6, 50e6, 60e6, 100e6, 250e6, 500e6, 1e9, 2500e6, 10e9,
	}}
	sizes = scale{unit: 1, bounds: [...]int64{
		1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10000,
	}}
)

// histogram counts values from any number of goroutines. A value costs two atomic
// additions and no memory.
type histogram struct {
	counts [mostBounds + 1]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(s *scale, value int64) {
	i := 0
	for i < mostBounds && value > s.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(value)
}

func (h *histogram) read(s *scale) Histogram {
	read := Histogram{Sum: float64(h.sum.Load()) / s.unit}
	for _, bound := range s.bounds {
		read.Bounds = append(read.Bounds, float64(bound)/s.unit)
	}
	for i := range h.counts {
		read.Counts = append(read.Counts, h.counts[i].Load())
	}
	return read
}
