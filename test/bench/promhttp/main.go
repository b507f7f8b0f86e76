// The peer that `./dev bench scrape` measures /metrics against: what Go's client library does
// with the same series. It reads an exposition from its standard input, registers the families
// that it finds there with their labels, buckets and values, and serves them at /metrics.
//
//	promhttp CONTENT-TYPE ADDRESS   serve
//	promhttp CONTENT-TYPE           print what was read as text 0.0.4, and end
package main

import (
	"errors"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Observations for each bucket, at most: what a bucket holds is no matter, its digits are.
const mostObservations = 1000

// 2^4 buckets from one power of two to the next.
const nativeFactor = 1.05

func main() {
	log.SetFlags(0)
	log.SetPrefix("promhttp: ")
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: promhttp CONTENT-TYPE [ADDRESS]")
	}
	families, err := read(os.Stdin, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) == 2 {
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
				log.Fatal(err)
			}
		}
		return
	}
	registry := prometheus.NewRegistry()
	for _, family := range families {
		if err := register(registry, family); err != nil {
			log.Fatalf("%s: %v", family.GetName(), err)
		}
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, EnableOpenMetrics: true,
	}))
	log.Fatal(http.ListenAndServe(os.Args[2], nil))
}

func read(from io.Reader, contentType string) ([]*dto.MetricFamily, error) {
	decoder := expfmt.NewDecoder(from, expfmt.ResponseFormat(http.Header{"Content-Type": {contentType}}))
	var families []*dto.MetricFamily
	for {
		family := new(dto.MetricFamily)
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) { // of text they come in no order
			slices.SortFunc(families, func(a, b *dto.MetricFamily) int {
				return strings.Compare(a.GetName(), b.GetName())
			})
			return families, nil
		}
		if err != nil {
			return nil, err
		}
		families = append(families, family)
	}
}

func register(registry *prometheus.Registry, family *dto.MetricFamily) error {
	var names []string
	for _, pair := range family.Metric[0].Label {
		names = append(names, pair.GetName())
	}
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: family.GetName(), Help: family.GetHelp(),
		}, names)
		for _, metric := range family.Metric {
			vec.WithLabelValues(values(metric)...).Add(metric.Counter.GetValue())
		}
		return registry.Register(vec)
	case dto.MetricType_HISTOGRAM:
		return registerHistogram(registry, family, names)
	default:
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: family.GetName(), Help: family.GetHelp(),
		}, names)
		for _, metric := range family.Metric {
			vec.WithLabelValues(values(metric)...).Set(metric.Gauge.GetValue())
		}
		return registry.Register(vec)
	}
}

func registerHistogram(registry *prometheus.Registry, family *dto.MetricFamily, names []string) error {
	options := prometheus.HistogramOpts{Name: family.GetName(), Help: family.GetHelp()}
	first := family.Metric[0].Histogram
	if first.Schema != nil {
		options.NativeHistogramBucketFactor = nativeFactor
	}
	for _, bucket := range first.Bucket {
		if !math.IsInf(bucket.GetUpperBound(), 1) {
			options.Buckets = append(options.Buckets, bucket.GetUpperBound())
		}
	}
	vec := prometheus.NewHistogramVec(options, names)
	for _, metric := range family.Metric {
		observe(vec.WithLabelValues(values(metric)...), metric.Histogram)
	}
	return registry.Register(vec)
}

// The same buckets are in use.
func observe(into prometheus.Observer, histogram *dto.Histogram) {
	many := func(value float64, count int64) {
		for i := int64(0); i < min(count, mostObservations); i++ {
			into.Observe(value)
		}
	}
	var before uint64
	for _, bucket := range histogram.Bucket {
		many(math.Min(bucket.GetUpperBound(), 1e9), int64(bucket.GetCumulativeCount()-before))
		before = bucket.GetCumulativeCount()
	}
	var index int32
	var count int64
	deltas := histogram.PositiveDelta
	for _, span := range histogram.PositiveSpan {
		index += span.GetOffset()
		for i := uint32(0); i < span.GetLength(); i++ {
			count += deltas[0]
			deltas = deltas[1:]
			many(math.Exp2((float64(index)-0.5)/math.Exp2(float64(histogram.GetSchema()))), count)
			index++
		}
	}
}

func values(metric *dto.Metric) []string {
	var out []string
	for _, pair := range metric.Label {
		out = append(out, pair.GetValue())
	}
	return out
}
