package pglog

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

func BenchmarkAppend(b *testing.B) {
	postgres := testserver.StartPostgres(b)
	for _, size := range []int{120, 8 << 10} {
		for _, writers := range []int{1, 3, 10} {
			b.Run(fmt.Sprintf("%dB/%dwriters", size, writers), func(b *testing.B) { benchmarkAppend(b, postgres, size, writers) })
		}
	}
}

func benchmarkAppend(b *testing.B, postgres *testserver.Postgres, size, writers int) {
	logs := make([]*Log, writers)
	for i := range logs {
		logs[i] = benchmarked(b, postgres)
	}
	data := bytes.Repeat([]byte{'x'}, size)
	took := make([][]time.Duration, writers)
	var all sync.WaitGroup
	b.ResetTimer()
	for w, log := range logs {
		all.Go(func() {
			for i := w; i < b.N; i += writers {
				began := time.Now()
				if err := log.Append(b.Context(), data); err != nil {
					b.Error(err)
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	all.Wait()
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkNext reads entries that are there.
func BenchmarkNext(b *testing.B) {
	postgres := testserver.StartPostgres(b)
	log := benchmarked(b, postgres)
	const there = 100_000
	for _, size := range []int{120, 8 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			statements := fmt.Sprintf(`TRUNCATE presence.entries;
				INSERT INTO presence.entries SELECT place, now(), repeat('x', %d)::bytea FROM generate_series(1, %d) place;
				UPDATE presence.head SET last = %[2]d; VACUUM ANALYZE presence.entries`, size, there)
			for statement := range strings.SplitSeq(statements, ";") {
				if _, err := postgres.SQL("postgres", statement); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			read, after := 0, int64(0)
			for read < b.N {
				entries, err := log.Next(b.Context(), after)
				if err != nil {
					b.Fatal(err)
				}
				read += len(entries)
				if after = entries[len(entries)-1].Place; after == there {
					after = 0
				}
			}
			b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkWake measures the time from an append to the moment when another node has the
// entry.
func BenchmarkWake(b *testing.B) {
	postgres := testserver.StartPostgres(b)
	log, other := benchmarked(b, postgres), benchmarked(b, postgres)
	seen := make(chan time.Time)
	go func() {
		for place := range int64(b.N) {
			if _, err := other.Next(b.Context(), place); err != nil {
				b.Error(err)
			}
			seen <- time.Now()
		}
	}()
	var took []time.Duration
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		if err := log.Append(b.Context(), []byte("entry")); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-seen).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func benchmarked(b *testing.B, postgres *testserver.Postgres) *Log {
	log, err := Open(b.Context(), postgres.URL("postgres"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return log
}
