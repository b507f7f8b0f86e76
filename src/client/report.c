#include "client/report.h"

int report_write(struct buffer *out, enum report_format format, const struct run *run,
		 const struct report_style *style)
{
	switch (format) {
	case REPORT_JSON:
		return report_json(out, run);
	case REPORT_FORTIO:
		return report_fortio(out, run);
	case REPORT_HGRM:
		return report_hgrm(out, run);
	case REPORT_PROM:
		return report_prom(out, run);
	case REPORT_HTML:
		return report_html(out, &run, 1);
	case REPORT_TEXT:
	case REPORT_FORMAT_COUNT:
		break;
	}
	return report_text(out, run, style);
}
