// Functions whose names, as they are linked, are those of other languages, or are made to keep a demangler busy for ever.
// Each opens a file and keeps it.
#include <fcntl.h>

#define KEEPER(number, name)                                      \
  __attribute__((noinline)) int keep_##number(void) __asm__(name); \
  int keep_##number(void) { return open("/dev/null", O_RDONLY); }

KEEPER(1, "_ZN7service3Log5writeERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE")
KEEPER(2, "_ZZ4mainENKUliE0_clEi")
KEEPER(3, "_ZN8services5store8open_all17h8a1f0c3b5d7e9264E")
KEEPER(4, "_ZN64_$LT$services..store..Store$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE")
KEEPER(5, "_RINvNtCsdCHi3Z5fkNe_8services5store8open_allReEB4_")
KEEPER(6, "_RNCNvMs_NtCs1234_8services5storeNtB6_5Store4open0")
// A text of 2^34 arguments.
KEEPER(7, "_Z1f1AIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_ES_IS6_S6_ES_IS7_S7_ES_IS8_"
           "S8_ES_IS9_S9_ES_ISA_SA_ES_ISB_SB_ES_ISC_SC_ES_ISD_SD_ES_ISE_SE_ES_ISF_SF_ES_ISG_SG_ES_ISH_SH_ES_"
           "ISI_SI_ES_ISJ_SJ_ES_ISK_SK_ES_ISL_SL_ES_ISM_SM_ES_ISN_SN_ES_ISO_SO_ES_ISP_SP_ES_ISQ_SQ_ES_ISR_SR"
           "_ES_ISS_SS_ES_IST_ST_ES_ISU_SU_ES_ISV_SV_ES_ISW_SW_E")
// A search of 2^35 steps for a parameter pack, which writes nothing.
KEEPER(8, "_Z1f1ADpS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS"
           "_IS_IS_IS_IS_IS_IS_IiiES0_ES1_ES2_ES3_ES4_ES5_ES6_ES7_ES8_ES9_ESA_ESB_ESC_ESD_ESE_ESF_ESG_ESH_ES"
           "I_ESJ_ESK_ESL_ESM_ESN_ESO_ESP_ESQ_ESR_ESS_EST_ESU_ESV_ESW_ESX_ESY_E")
// As many lifetimes, which are not to be written.
KEEPER(9, "_RNvXINvC1a1bFGzzzzzzzzz_EuEuC1b1f")

int main(void) {
  int last = -1;
  int (*const keepers[])(void) = {keep_1, keep_2, keep_3, keep_4, keep_5, keep_6, keep_7, keep_8, keep_9};
  for (unsigned index = 0; index < sizeof keepers / sizeof *keepers; ++index) last = keepers[index]();
  return last < 0;
}
