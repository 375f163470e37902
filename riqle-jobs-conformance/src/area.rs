//! How listed cases become tests.

/// One area of [`conformance_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_area {
    ($harness:ty, $area:ident: [$($case:ident,)+]) => {
        $crate::conformance_area!($harness as Harness, $area: [$($case,)+]);
    };
    ($harness:ty as $start:ident, $area:ident: [$($case:ident,)+]) => {
        mod $area {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    let harness = <$harness as $crate::$start>::start().await;
                    $crate::within_limit($crate::$area::$case(&harness)).await;
                }
            )+
        }
    };
}

/// Emits the model test, [`run_model_test`](crate::run_model_test), for a type that is a
/// [`Harness`](crate::Harness).
#[macro_export]
macro_rules! model_test {
    ($harness:ty) => {
        mod model {
            #[allow(unused_imports)]
            use super::*;

            #[::tokio::test(flavor = "multi_thread")]
            async fn random_operations_match_memory() {
                $crate::run_model_test::<$harness>().await;
            }
        }
    };
}
