package httpapi

import (
	"fmt"
	"math/big"
	"testing"
)

func TestWholeNumber(t *testing.T) {
	for number, want := range map[string]int64{
		"0": 0, "-0": 0, "0.0e5": 0, "0e-99999": 0, "3600": 3600, "3600.0": 3600, "3600.000": 3600, "3.6e3": 3600, "3.6E+3": 3600, "36000e-1": 3600,
		"0.0036e6": 3600, "-3.6e3": -3600, "100": 100, "1e17": 1e17, "999999999999999999": 999999999999999999,
	} {
		if got, ok := wholeNumber(number); !ok || got != want {
			t.Errorf("%s is %d, %v; want %d", number, got, ok, want)
		}
	}
	for _, number := range []string{"3600.5", "0.1", "1e-1", "1e-999999999", "1e18", "1e999999999", "1e99999999999999999999",
		"1234567890123456789", "3600.0000000000000000000000001"} {
		if got, ok := wholeNumber(number); ok {
			t.Errorf("%s is not a whole number of up to 18 digits, but is read as %d", number, got)
		}
	}
}

// FuzzWholeNumber compares the result with exact arithmetic.
func FuzzWholeNumber(f *testing.F) {
	f.Add(int64(36), int8(2))
	f.Add(int64(-36000), int8(-1))
	f.Fuzz(func(t *testing.T, digits int64, power int8) {
		text := fmt.Sprintf("%d.0e%d", digits, power)
		exact, _ := new(big.Rat).SetString(text)
		got, ok := wholeNumber(text)
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
		want := exact.IsInt() && exact.Num().CmpAbs(limit) < 0
		if ok != want || ok && exact.Num().Int64() != got {
			t.Errorf("%s is %d, %v; want %v", text, got, ok, exact)
		}
	})
}
